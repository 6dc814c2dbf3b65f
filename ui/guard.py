"""Stands before the page and turns away what no user of it sends.

A web page elsewhere can make a browser send requests here (CSRF), and can point its own name at
this computer (DNS rebinding); so the Host must be ours, and an Origin must be the Host. A
middleware of Gradio's server.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
TUNNELS: Final = ".gradio.live"
MAX_JSON: Final = 64 * 1024 * 1024
"""Bytes of a call: pictures and masks in it are no larger."""
LOGIN_TRIES: Final = 10
LOGIN_SECONDS: Final = 60.0
CLOSED: Final = (
    "file=http", "proxy=", "monitoring", "process_recording", "vibe", "deep_link", "openapi",
    "docs", "redoc",
)  # fmt: skip
"""Routes of Gradio that this page does not use; some of them fetch addresses for the caller."""
POLICY: Final = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'; object-src 'none'"
)
"""Nothing is ever loaded from, or sent to, another address; Gradio's own scripts are inline."""
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", POLICY.encode("ascii")),
)

_ADDRESS = re.compile(r"\s*(?:https?|ftp|file):", re.IGNORECASE)
_HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:[0-9]{1,5})?")


class Guard:
    """Lets a request through if its Host, Origin, route and number of log-ins are in order.

    loopback: the page listens to this computer alone; else any of its addresses and its name will
    do. shared: a tunnel leads to the page, under the name of its servers.
    """

    def __init__(
        self,
        app: App,
        *,
        loopback: bool,
        shared: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._loopback = loopback
        self._shared = shared
        self._logins = LoginLimit(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, or pass it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await _refuse(scope, send, *refused)
        elif _is_login(scope):
            await self._log_in(scope, receive, send)
        elif _is_json(scope):
            await self._hear(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        ours = host_is_ours(host, loopback=self._loopback)
        if not ours and not (self._shared and is_tunnel(host)):
            return 400, "This host name is not mine."
        method = scope.get("method", "GET")
        if not _origin_is_ours(headers, host, method):
            return 403, "This request comes from another site."
        route = scope["path"].removeprefix("/gradio_api").lstrip("/").lower()
        return (404, "Not here.") if route.startswith(CLOSED) else None

    async def _hear(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a call of a handler before Gradio does, which fetches addresses that stand in it."""
        body = await _body(receive)
        if body is None:
            await _refuse(scope, send, 413, "Too much.")
        elif names_an_address(body):
            await _refuse(scope, send, 403, "Pictures come as files.")
        else:
            await self._app(scope, _told_again(body, receive), _with_headers(send))

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._logins.admit():
            await _refuse(scope, send, 429, "Too many tries. Wait a minute.")
            return

        async def heed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._logins.forgive()
            await send(message)

        await self._app(scope, receive, _with_headers(heed))


class LoginLimit:
    """Counts the log-ins of the last minute that did not succeed.

    One count for all visitors: an attacker has many addresses, a guesser needs only tries. Whoever
    is logged in is not touched by it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: deque[float] = deque()

    def admit(self) -> bool:
        """Count a try, as failed until it is forgiven; return whether it may go on."""
        now = self._clock()
        while self._tries and now - self._tries[0] >= LOGIN_SECONDS:
            self._tries.popleft()
        if len(self._tries) >= LOGIN_TRIES:
            return False
        self._tries.append(now)
        return True

    def forgive(self) -> None:
        """Take back the latest try: it succeeded."""
        if self._tries:
            self._tries.pop()


def host_is_ours(host: str, *, loopback: bool) -> bool:
    """Say whether a Host header names this computer; an address cannot be rebound, a name can."""
    written = _HOST.fullmatch(host.lower())
    if written is None:
        return False
    name = written["address"] or written["name"]
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return not loopback and name == socket.gethostname().lower()
    return address.is_loopback or not loopback


def is_tunnel(host: str) -> bool:
    """Say whether a Host header is that of a tunnel's server."""
    written = _HOST.fullmatch(host.lower())
    return written is not None and (written["name"] or "").endswith(TUNNELS)


def names_an_address(body: bytes) -> bool:
    """Say whether a call holds a file that is to be fetched from somewhere; junk holds none."""
    try:
        found = [json.loads(body)]
    except (ValueError, RecursionError):
        # Gradio refuses it too.
        return False
    while found:
        value = found.pop()
        if isinstance(value, dict):
            if _ADDRESS.match(str(value.get("path"))):
                return True
            found.extend(value.values())
        elif isinstance(value, list):
            found.extend(value)
    return False


def _origin_is_ours(headers: dict[bytes, str], host: str, method: str) -> bool:
    origin = headers.get(b"origin")
    if origin is not None:
        return origin.lower() in {f"{scheme}://{host.lower()}" for scheme in ("http", "https")}
    # Browsers leave the Origin out of some requests, but then say where they come from.
    foreign = headers.get(b"sec-fetch-site", "same-origin") not in {"same-origin", "none"}
    return method in SAFE_METHODS or not foreign


def _is_json(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").lower()
    return scope.get("method") == "POST" and not kind.startswith(b"multipart/form-data")


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, None for one that is too long or was cut off."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > MAX_JSON:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _told_again(body: bytes, receive: Receive) -> Receive:
    """Return what tells a body that was read, and then what comes after it."""
    told = [{"type": "http.request", "body": body, "more_body": False}]

    async def tell() -> Message:
        return told.pop() if told else await receive()

    return tell


def _is_login(scope: Scope) -> bool:
    return scope.get("method") == "POST" and scope["path"].rstrip("/") == "/login"


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _merged(message.get("headers", ()))
        await send(message)

    return add


def _merged(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ours = {name for name, _ in HEADERS}
    return [*(pair for pair in headers if pair[0].lower() not in ours), *HEADERS]


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    plain = (b"content-type", b"text/plain; charset=utf-8")
    body = reason.encode()
    start = {"type": "http.response.start", "status": status, "headers": [plain, *HEADERS]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
