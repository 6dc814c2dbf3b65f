"""A model hub on the loopback that does what a test tells it to, and a tiny model to fetch."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine.hub import DownloadPlan, Patience, plan_download
from engine.hub.fetch import Line, fetch, look_up
from engine.hub.hosts import choose_hosts
from engine.hub.watch import Meter, Watch
from engine.hub.wire import Wire
from engine.request import Precision
from engine.variants import Download, SourceFile, Variant, by_name

REPO = "maker/model"
QUICK = Patience(connect=2.0, stall=0.5, tries=3, pause=0.01, longest_pause=0.05)


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def source(path: str, data: bytes, **changes: object) -> SourceFile:
    values = {"repo": REPO, "path": path, "to": path, "size": len(data), "sha256": sha256(data)}
    return SourceFile(**{**values, **changes})


@dataclass
class Fault:
    """How the next answer with bytes goes wrong.

    after: bytes sent before it happens. act: what happens then. status, headers, body: sent
    instead of the right ones. plain: leave out Content-Length and ranges.
    """

    after: int | None = None
    act: str = "cut"
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    plain: bool = False


class Hub(ThreadingHTTPServer):
    """Serves `files` by their path; each GET of bytes takes the next fault, then `always`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.small: set[str] = set()
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.on_head: Callable[[str], tuple[int, dict[str, str]] | None] = lambda path: None
        self.location: str | None = None
        self.asked: list[tuple[str, str, str]] = []
        self.sent = 0
        self.slow = 0.0
        self.ending = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self) -> list[str]:
        """The ranges of all requests for bytes, in their order."""
        return [ranges for method, path, ranges in self.asked if method == "GET" and "cdn" in path]

    def close(self) -> None:
        self.ending.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what these tests are about."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._note()
        special = self.server.on_head(self.path)
        if special is not None:
            self._head(*special)
        else:
            self._describe()

    def do_GET(self) -> None:
        self._note()
        if self.path.startswith("/cdn/"):
            self._bytes(self.server.files.get(self.path.removeprefix("/cdn/")))
        elif self._name() in self.server.small:
            self._bytes(self.server.files[self._name()])
        else:
            self._describe()

    def _name(self) -> str:
        return self.path.partition("/resolve/main/")[2]

    def _describe(self) -> None:
        data = self.server.files.get(self._name())
        if data is None:
            self._head(404, {"Content-Length": "0"})
        elif self._name() in self.server.small:
            tag = f'"{git_sha1(data)}"'
            self._head(200, {"ETag": tag, "Content-Length": str(len(data))})
        else:
            headers = {
                "Location": self.server.location or f"{self.server.endpoint}/cdn/{self._name()}",
                "X-Linked-Etag": f'"{sha256(data)}"',
                "X-Linked-Size": str(len(data)),
                "Content-Length": "0",
            }
            self._head(302, headers)

    def _bytes(self, data: bytes | None) -> None:
        if data is None:
            self._head(404, {"Content-Length": "0"})
            return
        faults = self.server.faults
        fault = faults.popleft() if faults else self.server.always or Fault()
        data = data if fault.body is None else fault.body
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, headers = 200, {"Content-Length": str(len(data) - start)}
        if start and not fault.plain:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        elif fault.plain:
            start, headers = 0, {"Connection": "close"}
            self.close_connection = True
        if fault.status is not None:
            self._head(fault.status, {"Content-Length": "0", **fault.headers})
            return
        self._head(status, {**headers, **fault.headers})
        self._send(data[start:], fault)

    def _send(self, data: bytes, fault: Fault) -> None:
        until = len(data) if fault.after is None else min(fault.after, len(data))
        for at in range(0, until, 65536):
            piece = data[at : min(at + 65536, until)]
            self.wfile.write(piece)
            self.server.sent += len(piece)
            if self.server.slow:
                time.sleep(self.server.slow)
        if until == len(data) and fault.after is None:
            return
        self.wfile.flush()
        self.close_connection = True
        if fault.act == "stall":
            self.server.ending.wait(5.0)
        if fault.act == "reset":
            # Closing with unsent time left out makes the kernel send a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Range") or ""))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def get(
    hub: Hub,
    wanted: SourceFile,
    folder: Path,
    *,
    patience: Patience = QUICK,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Fetch one file as a download does."""
    hosts, watch = choose_hosts(hub.endpoint), Watch(cancelled)
    with Wire(hosts, patience, watch) as wire:
        meter = Meter(wanted.size, lambda progress: None)
        line = Line(wire=wire, hosts=hosts, patience=patience, watch=watch, meter=meter)
        final = folder / wanted.to
        found = fetch(look_up(wanted, line), final, line)
        assert found == sha256(final.read_bytes())
        return final


def model(hub: Hub, weights: bytes | None = None) -> Variant:
    """A variant of three small files that the hub has."""
    from dataclasses import replace

    contents = {
        "transformer/weights.safetensors": noise(1_200_000) if weights is None else weights,
        "vae/ae.safetensors": noise(1_000_001, 1),
        "tokenizer/tokenizer.json": noise(5000, 2),
        "scheduler/scheduler_config.json": b'{"shift": 3.0}',
    }
    hub.files.update(contents)
    hub.small.add("scheduler/scheduler_config.json")
    files = [source(path, data) for path, data in contents.items()]
    files[-1] = replace(files[-1], sha256=None)
    download = Download(precision=Precision.BF16, files=tuple(files))
    return replace(by_name("turbo"), downloads=(download,))


def planned(hub: Hub, variant: Variant, models: Path, *homes: Path) -> DownloadPlan:
    return plan_download(variant, Precision.AUTO, models, homes, endpoint=hub.endpoint)
