"""Asks a server for a file, watching where it connects to and stopping within a second.

HTTP itself is httpcore2's, the library under huggingface_hub; what is ours are the connections:
each goes to an address that was checked, and each wait is cut into slices in which the user can
cancel. docs/adr/0012-downloads.md says why.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urljoin

import httpcore2

from engine.errors import Cancelled, HostRefused, NetworkError
from engine.hub.hosts import Hosts
from engine.hub.watch import SLICE_SECONDS, Patience, Watch

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
USER_AGENT: Final = "atelier-z"

_CONNECTING: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, 10035})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A server's answer. headers: names in lower case. is_hub: from the endpoint itself."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]
    url: str
    is_hub: bool


class Wire:
    """A line to the servers that may be asked; use it as a context manager."""

    def __init__(self, hosts: Hosts, patience: Patience, watch: Watch) -> None:
        """Connect to nothing yet."""
        self._hosts = hosts
        self._patience = patience
        backend = _Backend(hosts, patience, watch)
        # The system's certificates: a company's own are found there.
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=backend, max_connections=4
        )

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    @contextmanager
    def ask(
        self, method: str, url: str, headers: dict[str, str], *, follow: bool
    ) -> Iterator[Reply]:
        """Ask for an address, going where the hub sends us if `follow`, and yield the answer.

        Raise `HostRefused` before asking where we may not, `NetworkError` where no answer comes.
        """
        with _as_network_errors(url), ExitStack() as stack:
            yield self._reach(stack, method, url, headers, follow=follow)

    def _reach(
        self, stack: ExitStack, method: str, url: str, headers: dict[str, str], *, follow: bool
    ) -> Reply:
        """Return the last answer of a chain of redirects; the stack holds it open."""
        # Compression would make sizes and offsets those of something else.
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        for _ in range(MAX_REDIRECTS + 1):
            self._hosts.check_url(url)
            response = stack.enter_context(self._pool.stream(method, url, headers=[*sent.items()]))
            reply = _reply(response, url, is_hub=url.startswith(f"{self._hosts.endpoint}/"))
            target = reply.headers.get("location", "")
            if not _goes_on(reply, target, follow=follow):
                return reply
            stack.close()
            url = urljoin(url, target)
        raise NetworkError(f"{url:.200} redirects without end.", "Try again later.")


def _goes_on(reply: Reply, target: str, *, follow: bool) -> bool:
    """Whether to go to where a redirect points; within the server always, as renamed files do."""
    if reply.status not in REDIRECTS or not target:
        return False
    return follow or (target.startswith("/") and not target.startswith("//"))


def _reply(response: httpcore2.Response, url: str, *, is_hub: bool) -> Reply:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    return Reply(
        status=response.status,
        headers=headers,
        chunks=iter(response.iter_stream()),
        url=url,
        is_hub=is_hub,
    )


@contextmanager
def _as_network_errors(url: str) -> Iterator[None]:
    """Say in our own words what went wrong on the line."""
    server = url.partition("://")[2].partition("/")[0]
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise NetworkError(f"{server} stopped answering.", "Try again.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise NetworkError(
            f"The connection to {server} broke: {error or type(error).__name__}.",
            "Check the network and try again.",
        ) from error


class _Backend(httpcore2.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, hosts: Hosts, patience: Patience, watch: Watch) -> None:
        self._hosts = hosts
        self._patience = patience
        self._watch = watch

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to a server by name; the address that was checked is the one connected to."""
        del timeout, local_address, socket_options
        addresses = self._resolve(host, port)
        for address in addresses:
            self._hosts.check_address(address, host)
        failure = "no address"
        for address in addresses:
            try:
                return _Stream(self._connect(host, address, port), self._patience, self._watch)
            except OSError as error:
                failure = os.strerror(error.errno) if error.errno else str(error)
        raise httpcore2.ConnectError(failure)

    def _resolve(self, host: str, port: int) -> list[str]:
        self._watch.check()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore2.ConnectError(f"its name is not known ({error.strerror})") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _connect(self, host: str, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            self._wait_for(connection, connection.connect_ex((address, port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._hosts.check_address(str(connection.getpeername()[0]), host)
        except (OSError, Cancelled, HostRefused):
            connection.close()
            raise
        return connection

    def _wait_for(self, connection: socket.socket, code: int) -> None:
        until = time.monotonic() + self._patience.connect
        while code in _CONNECTING:
            self._watch.check()
            if _is_ready(connection, selectors.EVENT_WRITE, SLICE_SECONDS):
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                break
            if time.monotonic() > until:
                code = errno.ETIMEDOUT
        if code:
            raise OSError(code, os.strerror(code))


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait can be cancelled."""

    def __init__(self, connection: socket.socket, patience: Patience, watch: Watch) -> None:
        self._socket = connection
        self._patience = patience
        self._watch = watch
        connection.settimeout(SLICE_SECONDS)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come; raise `ReadTimeout` after a stall."""
        del timeout
        return self._patiently(partial(self._socket.recv, max_bytes), self._patience.stall)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all bytes."""
        del timeout
        view = memoryview(buffer)
        while view:
            view = view[self._patiently(partial(self._socket.send, view), self._patience.stall) :]

    def close(self) -> None:
        """Close the connection; what is still under way is lost."""
        with suppress(OSError):
            self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Return the same connection, encrypted, its server's certificate checked."""
        del timeout
        try:
            secure = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except OSError as error:
            self.close()
            raise httpcore2.ConnectError(str(error)) from error
        stream = _Stream(secure, self._patience, self._watch)
        try:
            stream._patiently(secure.do_handshake, self._patience.connect)
        except (httpcore2.NetworkError, httpcore2.TimeoutException, Cancelled):
            stream.close()
            raise
        return stream

    def get_extra_info(self, info: str) -> object:
        """Return what httpcore2 wants to know of the socket."""
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        if info == "is_readable":
            return _is_ready(self._socket, selectors.EVENT_READ, 0.0)
        return self._socket if info == "socket" else None

    def _patiently(self, call: Callable[[], T], seconds: float) -> T:
        until = time.monotonic() + seconds
        while True:
            self._watch.check()
            try:
                return call()
            except TimeoutError as error:
                if time.monotonic() > until:
                    raise httpcore2.ReadTimeout("stalled") from error
            except OSError as error:
                raise httpcore2.ReadError(str(error)) from error


def _is_ready(connection: socket.socket, event: int, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, event)
        return bool(selector.select(seconds))
