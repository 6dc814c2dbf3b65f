"""The only place that opens a port: builds a page and serves it, every other door closed."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from engine import Engine, ResourceError, UserError
from ui import sharing_strings, strings
from ui.guard import Guard

if TYPE_CHECKING:
    import gradio as gr

    from ui.guests import Guests
    from ui.sharing import Sharing

USER_NAME: Final = "studio"
FIRST_PORT: Final = 7860
PORTS: Final = 100
STYLES: Final = ("page", "presets", "painter", "edit", "history", "settings")
"""The style sheets in `static`, each one weightier than those before it."""
GUEST_CACHE: Final = "guests"
"""Folder inside the page's cache: a folder for each time that a page is shared."""
MAX_UPLOAD: Final = "50mb"
GUEST_UPLOAD: Final = "20mb"
MAX_QUEUE: Final = 64
CLOSED_DOORS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        # Once its server has answered, Gradio looks again, and gives up after three seconds: a
        # page on a busy machine would not open.
        "_frontend": False,
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
    }
)
"""What the page never offers, whoever asks: said outright, so that no environment can say else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Who reaches a page, and with which password.

    loopback: it listens to this computer alone. guests: those of a shared page, which a tunnel
    leads to all the same.
    """

    host: str = "127.0.0.1"
    loopback: bool = True
    user: str = USER_NAME
    password: str | None = None
    guests: Guests | None = None

    @property
    def owner(self) -> bool:
        """Whether only the owner of this computer reaches the page."""
        return self.loopback and self.guests is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """What the owner's page has besides. browser: whether to open it in one."""

    sharing: Sharing | None = None
    notices: tuple[str, ...] = ()
    browser: bool = False


def build_served(
    engine: Engine, exposure: Exposure, port: int, page: PageOptions | None = None
) -> gr.Blocks:
    """Build a page and serve it; raise `ResourceError` where the port cannot be had."""
    page = page or PageOptions()

    async def start() -> gr.Blocks:
        demo = _build(engine, exposure, page)
        _serve(demo, exposure, port, browser=page.browser)
        return demo

    # Where no event loop runs, Gradio makes one for each of its locks and never closes it. In a
    # thread of its own, for the caller may have a loop already.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, start()).result()


def _build(engine: Engine, exposure: Exposure, page: PageOptions) -> gr.Blocks:
    from ui.context import PageContext
    from ui.shell import build_page

    demo = build_page(
        PageContext(
            engine=engine,
            owner=exposure.owner,
            notices=page.notices,
            sharing=page.sharing if exposure.owner else None,
            guests=exposure.guests,
        )
    )
    if exposure.guests is not None:
        _count_visits(demo, exposure.guests)
    return demo


def _count_visits(demo: gr.Blocks, guests: Guests) -> None:
    import gradio as gr

    def enter(request: gr.Request) -> None:
        guests.enter(str(request.session_hash))

    def leave(request: gr.Request) -> None:
        guests.leave(str(request.session_hash))

    # Gradio reads these when the events are added; the names of this module are strings to it.
    enter.__annotations__ = leave.__annotations__ = {"request": gr.Request}
    with demo:
        demo.load(enter, queue=False, show_progress="hidden", api_visibility="private")
        demo.unload(leave)


def _serve(demo: gr.Blocks, exposure: Exposure, port: int, *, browser: bool) -> None:
    from starlette.middleware import Middleware

    from ui.shell import STATIC
    from ui.theme import theme

    demo.queue(max_size=MAX_QUEUE, api_open=False)
    guarded = Middleware(Guard, loopback=exposure.loopback, shared=exposure.guests is not None)
    try:
        demo.launch(
            server_name=exposure.host,
            server_port=port,
            auth=_login(exposure),
            auth_message=strings.LOGIN if exposure.guests is None else sharing_strings.LOGIN,
            app_kwargs={"middleware": [guarded]},
            max_file_size=MAX_UPLOAD if exposure.guests is None else GUEST_UPLOAD,
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
    if exposure.guests is not None:
        _keep_apart(demo)


def _keep_apart(demo: gr.Blocks) -> None:
    """Give a page copies of its own: guests are served nothing of the owner's, nor of the past."""
    folder = Path(demo.GRADIO_CACHE) / GUEST_CACHE / secrets.token_hex(8)
    demo.GRADIO_CACHE = str(folder)
    for block in demo.blocks.values():
        block.GRADIO_CACHE = str(folder)
    demo.app.uploaded_file_dir = str(folder)


def _login(exposure: Exposure) -> Callable[[str, str], bool] | None:
    if exposure.password is None:
        return None
    expected = exposure.password.encode()

    def check(user: str, given: str) -> bool:
        same = hmac.compare_digest(given.encode(), expected)
        return same and user.strip().lower() == exposure.user

    return check


def free_port() -> int:
    """Return a port of this computer that nothing listens on and nobody can foretell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_port(host: str, wanted: int | None) -> int:
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
