"""Opens the page: who may reach it, by which options.

Gradio reads dozens of environment variables, some of which widen what a page exposes; so they are
cleared before Gradio is imported, and every argument that matters is given outright.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from engine import Engine, UserError
from ui import strings
from ui.serving import Exposure, PageOptions, build_served, choose_port

if TYPE_CHECKING:
    import gradio as gr

    from ui.sharing import Sharing
    from ui.tunnel import Tunnel

CACHE: Final = "page"
"""Folder inside the data folder: copies of the pictures on the page, and what was dropped on it."""
CACHE_SECONDS: Final = 24 * 3600
FOREIGN_SETTINGS: Final = ("GRADIO_", "SPACE_", "SPACES_")

WAKE_SECONDS = 6.0
"""When the engine begins to get ready though nobody has opened the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """How the page is to be reached.

    port: None takes the first free one from 7860 on. password: one is made up where the page is
    reachable from elsewhere and none is given. share: open a page for guests under a public link
    too; on this computer the password is then that page's. notices: what was wrong with the
    settings file.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    password: str | None = None
    browser: bool = True
    share: bool = False
    notices: tuple[str, ...] = ()


class OpenPage:
    """A page that is being served; closes at the end of a `with` block."""

    def __init__(self, demo: gr.Blocks, password: str | None, sharing: Sharing) -> None:
        self._demo = demo
        self.url = str(demo.local_url)
        self.password = password
        self.sharing = sharing

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
        """Stop serving and sharing; may be called twice."""
        self.sharing.stop()
        if self._demo.is_running:
            self._demo.close(verbose=False)


def open_page(
    engine: Engine, options: LaunchOptions, make_tunnel: Callable[[], Tunnel] | None = None
) -> OpenPage:
    """Serve the page and return at once; raise `UserError` for options that cannot be met.

    make_tunnel: makes the way to a page for guests; None takes the public one.
    """
    from ui.sharing import Sharing
    from ui.tunnel import public_tunnel

    exposure = decide(options)
    port = choose_port(exposure.host, options.port)
    data_dir = engine.settings.data_dir
    clear_environment(os.environ, data_dir)
    sharing = Sharing(engine, make_tunnel or (lambda: public_tunnel(data_dir)))
    page = PageOptions(sharing=sharing, notices=options.notices, browser=options.browser)
    demo = build_served(engine, exposure, port, page)
    opened = OpenPage(demo, exposure.password, sharing)
    if options.share:
        with ExitStack() as undo:
            undo.callback(opened.close)
            sharing.start(password=options.password if exposure.owner else None)
            undo.pop_all()
    sweep(data_dir)
    wake = threading.Timer(WAKE_SECONDS, engine.wake)
    wake.daemon = True
    wake.start()
    return opened


def decide(options: LaunchOptions) -> Exposure:
    """Return who will reach the page; raise `UserError` for what is not offered.

    Beyond this computer only with a password. A public link leads to another page.
    """
    host = options.host.strip().strip("[]")
    if not host:
        raise UserError("The host is empty.", strings.HOSTS)
    loopback = _is_loopback(host)
    if options.password is not None and not options.password:
        raise UserError("The password is empty.", "Choose one, or leave it out.")
    password = None if options.share and loopback else options.password
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
    # Whatever lies here is served on every page, also the guests'.
    environment["GRADIO_EXAMPLES_CACHE"] = str(cache / "examples")
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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
