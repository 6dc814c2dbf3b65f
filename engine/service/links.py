"""Links to a worker: in a process of its own, or in a thread of this one."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import MappingProxyType
from typing import IO, Protocol

from engine import worker
from engine.errors import BugError
from engine.jobs import wire
from engine.memory.malloc import keep_freed_memory
from engine.storage import project_root

GRACE_SECONDS = 3.0
"""How long a worker may take to end on its own."""

WORKER_ENVIRONMENT = MappingProxyType({"OMP_WAIT_POLICY": "PASSIVE"})
"""What the worker gets unless the user set it: torch's threads sleep while they wait.

By default they spin, and take the processor from the page, the browser and, where others compute
too, from each other: small models then paint up to fifteen times slower.
"""

_log = logging.getLogger(__name__)


class Link(Protocol):
    """A connection to one worker."""

    def send(self, message: object) -> None:
        """Send a message; a worker that is gone is noticed by `receive`."""

    def receive(self) -> object | None:
        """Wait for the next message; None once the worker is gone."""

    def end(self) -> None:
        """Let the worker know that no more messages come, which ends it; do not wait."""

    def dismiss(self) -> None:
        """End the worker and wait for it; kill one that does not end."""

    def last_words(self) -> str:
        """Say how a worker that is gone came to its end."""


class ProcessLink:
    """A worker in a process of its own, which ends when this one does."""

    def __init__(self) -> None:
        # The safe path keeps a file torch.py in the user's folder from being imported.
        root = str(project_root())
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = {**WORKER_ENVIRONMENT, **os.environ}
        environment |= {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        keep_freed_memory(environment)
        self._process = subprocess.Popen(
            (sys.executable, "-c", "from engine.worker import main; main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._take_notes, daemon=True)
        self._listener.start()
        threading.Thread(target=self._write, daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message without waiting; a worker that is gone is noticed by `receive`."""
        self._lines.put(wire.encode(message))

    def receive(self) -> object | None:
        """Wait for the next message; None once the process is gone."""
        message = None
        try:
            line = self._stdout.readline()
            if line.endswith(b"\n"):
                message = wire.decode(line)
        finally:
            if message is None:
                self._stdout.close()
        return message

    def end(self) -> None:
        """Close the worker's input once it has read what was sent, which ends it."""
        self._lines.put(None)

    def dismiss(self) -> None:
        """End the process; kill it where it does not listen."""
        self.end()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # One that waits for a driver outlives even this, until the driver answers.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)

    def last_words(self) -> str:
        """Say how the process ended."""
        self._listener.join(GRACE_SECONDS)
        code = self._process.returncode
        if code == -9:
            return "it was killed, most likely because memory ran out"
        return self._words[-1] if self._words else f"exit code {code}"

    def _write(self) -> None:
        """Write what is to be sent; a pipe takes no more than its worker reads."""
        with suppress(OSError):
            for line in iter(self._lines.get, None):
                self._stdin.write(line)
                self._stdin.flush()
        with suppress(OSError):
            self._stdin.close()

    def _take_notes(self) -> None:
        with _pipe(self._process.stderr) as stderr:
            for line in stderr:
                self._words.append(line.decode(errors="replace").rstrip())
                _log.info("worker: %s", self._words[-1])


class ThreadLink:
    """A worker in a thread of this process, for tests and short scripts."""

    def __init__(self, make_painter: Callable[[], worker.Painter] = worker.real_painter) -> None:
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(make_painter,), daemon=True)
        self._thread.start()

    def send(self, message: object) -> None:
        """Send a message."""
        self._inbox.put(message)

    def receive(self) -> object | None:
        """Wait for the next message; None once the worker has ended."""
        return self._outbox.get()

    def end(self) -> None:
        """Close the worker's inbox, which ends it."""
        self._inbox.put(None)

    def dismiss(self) -> None:
        """End the worker and wait for it."""
        self.end()
        self._thread.join(GRACE_SECONDS)

    def last_words(self) -> str:
        """Say how the worker ended."""
        return "it was dismissed"

    def _serve(self, make_painter: Callable[[], worker.Painter]) -> None:
        try:
            worker.serve(iter(self._inbox.get, None), self._outbox.put, make_painter)
        finally:
            self._outbox.put(None)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream that was asked for as a pipe, and therefore is there."""
    if stream is None:
        raise BugError("The painting process has no pipe.")
    return stream
