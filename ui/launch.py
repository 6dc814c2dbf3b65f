"""The only place that opens a port: who may reach the page, and how.

Gradio reads dozens of environment variables, some of which widen what a page exposes; so they are
cleared before Gradio is imported, and every argument that matters is given outright.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from engine import Engine, ResourceError, UserError
from ui import strings
from ui.guard import Guard

if TYPE_CHECKING:
    import gradio as gr

USER_NAME: Final = "studio"
FIRST_PORT: Final = 7860
PORTS: Final = 100
STYLES: Final = ("page",)
"""The style sheets in `static`, each one weightier than those before it."""
CACHE: Final = "page"
"""Folder inside the data folder: copies of the pictures on the page, and what was dropped on it."""
CACHE_SECONDS: Final = 24 * 3600
MAX_UPLOAD: Final = "50mb"
MAX_QUEUE: Final = 64
FOREIGN_SETTINGS: Final = ("GRADIO_", "SPACE_", "SPACES_")
CLOSED_DOORS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": False,
        "ssr_mode": False,
        "pwa": False,
        "num_workers": 0,
        "strict_cors": True,
        "root_path": "",
        "allowed_paths": [],
        "blocked_paths": [],
        "max_file_size": MAX_UPLOAD,
    }
)
"""What the page never offers, whoever asks: said outright, so that no environment can say else."""


WAKE_SECONDS = 6.0
"""When the engine begins to get ready though nobody has opened the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """How the page is to be reached.

    port: None takes the first free one from 7860 on. password: one is made up where the page is
    reachable from elsewhere and none is given. notices: what was wrong with the settings file.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    password: str | None = None
    browser: bool = True
    share: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What the options come to: who reaches the page and with which password."""

    host: str
    loopback: bool
    password: str | None


class OpenPage:
    """A page that is being served; closes at the end of a `with` block."""

    def __init__(self, demo: gr.Blocks, url: str, password: str | None) -> None:
        self._demo = demo
        self.url = url
        self.password = password

    def __enter__(self) -> Self:
        """Return the page, which is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the page."""
        self.close()

    def wait(self) -> None:
        """Return once Ctrl-C is pressed or the page is closed."""
        with suppress(KeyboardInterrupt):
            while self._demo.is_running:
                time.sleep(0.2)

    def close(self) -> None:
        """Stop serving; may be called twice."""
        if self._demo.is_running:
            self._demo.close(verbose=False)


def open_page(engine: Engine, options: LaunchOptions) -> OpenPage:
    """Serve the page and return at once; raise `UserError` for options that cannot be met."""
    exposure = decide(options)
    port = _port(exposure.host, options.port)
    clear_environment(os.environ, engine.settings.data_dir)

    async def start() -> gr.Blocks:
        demo = _build(engine, exposure, options.notices)
        _serve(demo, exposure, port, browser=options.browser)
        return demo

    # Where no event loop runs, Gradio makes one for each of its locks and never closes it. In a
    # thread of its own, for the caller may have a loop already.
    with ThreadPoolExecutor(1) as pool:
        demo = pool.submit(asyncio.run, start()).result()
    sweep(engine.settings.data_dir)
    wake = threading.Timer(WAKE_SECONDS, engine.wake)
    wake.daemon = True
    wake.start()
    return OpenPage(demo, str(demo.local_url), exposure.password)


def decide(options: LaunchOptions) -> Exposure:
    """Return who will reach the page; raise `UserError` for what is not offered.

    Beyond this computer only with a password; never by a public link.
    """
    if options.share:
        raise UserError(strings.SHARE_REFUSED, strings.SHARE_ACTION)
    host = options.host.strip().strip("[]")
    if not host:
        raise UserError("The host is empty.", strings.HOSTS)
    loopback = _is_loopback(host)
    if options.password is not None and not options.password:
        raise UserError("The password is empty.", "Choose one, or leave it out.")
    password = options.password
    if password is None and not loopback:
        password = secrets.token_urlsafe(12)
    return Exposure(host=host, loopback=loopback, password=password)


def clear_environment(environment: MutableMapping[str, str], data_dir: Path) -> None:
    """Set what Gradio reads from the environment: nothing leaves this computer, caches are ours."""
    for name in list(environment):
        if name.startswith(FOREIGN_SETTINGS) or name == "SYSTEM":
            del environment[name]
    cache = data_dir / CACHE
    environment["GRADIO_ANALYTICS_ENABLED"] = "False"
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Otherwise Gradio keeps statistics of every event, and imports pandas for the first.
    environment["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
    environment["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    environment["GRADIO_TEMP_DIR"] = str(cache)
    environment["GRADIO_EXAMPLES_CACHE"] = str(cache)
    # Gradio asks its own server whether it answers; a proxy for the outside would stand between.
    for name in ("NO_PROXY", "no_proxy"):
        known = environment.get(name, "")
        environment[name] = ",".join(filter(None, (known, "localhost,127.0.0.1,::1")))


def sweep(data_dir: Path) -> None:
    """Delete old copies that a page left behind when it was killed."""
    oldest = time.time() - CACHE_SECONDS
    for path in (data_dir / CACHE).rglob("*"):
        # Another page may sweep too, or be using the file.
        with suppress(OSError):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()


def _build(engine: Engine, exposure: Exposure, notices: tuple[str, ...]) -> gr.Blocks:
    from ui.context import PageContext
    from ui.shell import build_page

    return build_page(PageContext(engine=engine, owner=exposure.loopback, notices=notices))


def _serve(demo: gr.Blocks, exposure: Exposure, port: int, *, browser: bool) -> None:
    from starlette.middleware import Middleware

    from ui.shell import STATIC
    from ui.theme import theme

    demo.queue(max_size=MAX_QUEUE, api_open=False)
    try:
        demo.launch(
            server_name=exposure.host,
            server_port=port,
            auth=_login(exposure.password),
            auth_message=strings.LOGIN,
            app_kwargs={"middleware": [Middleware(Guard, loopback=exposure.loopback)]},
            inbrowser=browser,
            favicon_path=STATIC / "icon.svg",
            theme=theme(),
            css_paths=[STATIC / f"{name}.css" for name in STYLES],
            head_paths=[STATIC / "head.html"],
            **CLOSED_DOORS,
        )
    except OSError as error:
        sentence = f"The page could not be opened on port {port} of {exposure.host}: {error}"
        raise ResourceError(sentence, strings.PORT_ACTION) from error


def _login(password: str | None) -> Callable[[str, str], bool] | None:
    if password is None:
        return None
    expected = password.encode()

    def check(user: str, given: str) -> bool:
        same = hmac.compare_digest(given.encode(), expected)
        return same and user.strip().lower() == USER_NAME

    return check


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(host: str, wanted: int | None) -> int:
    """Return a port that is free now; raise `UserError` where there is none."""
    if wanted is not None and not 1 <= wanted <= 65535:
        raise UserError(f"The port is {wanted}, but must lie between 1 and 65535.")
    ports = [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + PORTS)
    free = next((port for port in ports if _is_free(host, port)), None)
    if free is None:
        place = f"Port {wanted}" if wanted else f"Every port from {FIRST_PORT} on"
        raise UserError(f"{place} is taken on {host}.", strings.PORT_ACTION)
    return free


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except socket.gaierror as error:
            raise UserError(f"The host {host!r:.80} is not known.", strings.HOSTS) from error
        except OSError:
            return False
    return True
