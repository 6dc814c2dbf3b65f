"""A tunnel: gives a page of this computer an address that everyone can reach.

The bytes pass through a server of Gradio's makers, by a program (frpc) that is fetched when it is
first wanted. Gradio's own way of opening one also makes its pages load scripts from outside, and
leaves the program behind when this one is killed; so only its server and its program are used.
"""

from __future__ import annotations

import logging
import queue
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Protocol

from engine import CancelledError, Relay, RelaySource, ResourceError, prepare_relay
from ui import sharing_strings as strings

OPEN_SECONDS: Final = 30.0
"""How long the program may take to get an address."""
GRACE_SECONDS: Final = 3.0
FOLDER: Final = "tunnel"
"""Folder inside the data folder: the program, and the certificate of the server it calls."""
QUESTION: Final = "https://api.gradio.app/v3/tunnel-request"
KEEPER: Final = Path(__file__).with_name("keeper.py")

_SLICE_SECONDS: Final = 0.2
_OPENED: Final = re.compile(
    r"start proxy success: (https?://[a-z0-9.-]+\.gradio\.live(?::\d+)?)/?\s*$"
)
_REFUSED: Final = "login to server failed"

_log = logging.getLogger(__name__)


class Tunnel(Protocol):
    """A way to a port of this computer from outside."""

    def open(self, port: int, cancelled: Callable[[], bool], lost: Callable[[], None]) -> str:
        """Open it and return its address; raise an error of the tree.

        cancelled: asked several times a second. lost: called, from another thread, when it closes
        by itself later.
        """

    def close(self) -> None:
        """Close it; may be called twice, and before it is open."""


class FrpcTunnel:
    """A tunnel by the program frpc, in a process that ends when this one does.

    find: fetches the program and finds a server.
    """

    def __init__(self, find: Callable[[Callable[[], bool]], Relay]) -> None:
        self._find = find
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()

    def open(self, port: int, cancelled: Callable[[], bool], lost: Callable[[], None]) -> str:
        """Open it and return its address; raise an error of the tree."""
        relay = self._find(cancelled)
        try:
            self._process = _start(_command(relay, port))
        except OSError as error:
            raise _failed(str(error)) from error
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._listen, args=(self._process.stdout, lines, lost), daemon=True
        ).start()
        try:
            return _address(lines, cancelled)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; kill the program where it does not end."""
        self._closed.set()
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            _pipe(process.stdin).close()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(GRACE_SECONDS)

    def _listen(
        self,
        said: IO[bytes] | None,
        lines: queue.SimpleQueue[str | None],
        lost: Callable[[], None],
    ) -> None:
        """Read what the program says: it would stand still before a pipe that is full."""
        is_open = False
        with _pipe(said) as stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                _log.info("tunnel: %s", text)
                if not is_open:
                    is_open = _OPENED.search(text) is not None
                    lines.put(text)
        lines.put(None)
        if is_open and not self._closed.is_set():
            lost()


def public_tunnel(data_dir: Path) -> FrpcTunnel:
    """Return a tunnel through the servers of Gradio's makers; nothing is asked or fetched yet."""

    def find(cancelled: Callable[[], bool]) -> Relay:
        from gradio import tunneling

        digest = tunneling.CHECKSUMS.get(tunneling.BINARY_URL)
        if digest is None:
            raise ResourceError(strings.NO_TUNNEL, strings.NO_TUNNEL_ACTION)
        source = RelaySource(
            program_url=tunneling.BINARY_URL,
            sha256=digest,
            name=f"{tunneling.BINARY_FILENAME}{tunneling.EXTENSION}",
            question=QUESTION,
        )
        return prepare_relay(source, data_dir / FOLDER, cancelled)

    return FrpcTunnel(find)


def _command(relay: Relay, port: int) -> Sequence[str]:
    """Return the command line of frpc, as its version 0.3 takes it."""
    command = [
        str(relay.program), "http", "-n", secrets.token_urlsafe(32), "-l", str(port),
        "-i", "127.0.0.1", "--uc", "--sd", "random", "--ue", "--server_addr", relay.server,
        "--disable_log_color",
    ]  # fmt: skip
    if relay.certificate is not None:
        command += ["--tls_enable", "--tls_trusted_ca_file", str(relay.certificate)]
    return command


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # Isolated: nothing in the user's folders or environment takes the place of Python's modules.
    return subprocess.Popen(
        (sys.executable, "-I", str(KEEPER), *command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _address(lines: queue.SimpleQueue[str | None], cancelled: Callable[[], bool]) -> str:
    """Wait for the line that tells the address."""
    deadline, last = time.monotonic() + OPEN_SECONDS, deque[str](maxlen=1)
    while time.monotonic() < deadline:
        if cancelled():
            raise CancelledError(strings.CANCELLED)
        try:
            line = lines.get(timeout=_SLICE_SECONDS)
        except queue.Empty:
            continue
        if line is None or _REFUSED in line:
            raise _failed(line or "".join(last))
        if found := _OPENED.search(line):
            return found[1]
        last.append(line)
    raise _failed("".join(last) or strings.NO_ANSWER)


def _failed(reason: str) -> ResourceError:
    return ResourceError(strings.tunnel_failed(reason), strings.TUNNEL_ACTION)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream that was asked for as a pipe, and therefore is there."""
    if stream is None:
        raise ResourceError(strings.NO_ANSWER, strings.TUNNEL_ACTION)
    return stream
