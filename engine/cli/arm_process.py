"""Starts the child processes of a benchmark, talks to them, and watches what they take."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from engine.errors import WorkerLost
from engine.memory.malloc import keep_freed_memory
from engine.storage import project_root

SAMPLE_SECONDS = 0.05
GRACE_SECONDS = 10.0
PATIENCE_SECONDS = 600.0
"""After this an answer is no longer waited for."""

HOST_FIELDS = ("RssAnon:", "RssShmem:")


class ArmProcess:
    """A child that paints. host_bytes: most of its anonymous and shared pages so far."""

    def __init__(self, python: Path, program: tuple[str, ...], config: Mapping[str, Any]) -> None:
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONSAFEPATH": "1"}
        keep_freed_memory(environment)
        path = os.pathsep.join(filter(None, (str(project_root()), os.environ.get("PYTHONPATH"))))
        own = {"PYTHONPATH": path} if python == Path(sys.executable) else {}
        self._process = subprocess.Popen(
            (str(python), *program, json.dumps(config)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**environment, **own}, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        self.host_bytes = 0
        self._words: deque[str] = deque(maxlen=20)
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        for work in (self._listen, self._take_notes):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the child."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child; kill it where it does not listen."""
        self.close()

    def ask(self, order: Mapping[str, Any], patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Send an order and return the report on it; raise `WorkerLost`."""
        with suppress(BrokenPipeError):
            pipe = _pipe(self._process.stdin)
            pipe.write(json.dumps(dict(order)) + "\n")
            pipe.flush()
        waited = 0.0
        while waited < patience:
            self._look_at_memory()
            with suppress(queue.Empty):
                line = self._answers.get(timeout=SAMPLE_SECONDS)
                # An answer quicker than the first sample would leave the child unmeasured.
                self._look_at_memory()
                if not line:
                    # A child that is gone is gone for the next order, too.
                    self._answers.put("")
                    raise self._failed()
                found: dict[str, Any] = json.loads(line)
                return found
            waited += SAMPLE_SECONDS
        self._process.kill()
        raise WorkerLost(f"No answer came in {patience:g} seconds.", "Choose smaller pictures.")

    def close(self) -> None:
        """End the child and wait for it."""
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _look_at_memory(self) -> None:
        self.host_bytes = max(self.host_bytes, host_bytes(self._process.pid))

    def _failed(self) -> WorkerLost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        words = [word for word in self._words if word.strip()]
        said = words[-1].strip() if words else f"it ended with code {self._process.returncode}"
        return WorkerLost(said[:300], "See what it needs, or leave it out.")

    def _listen(self) -> None:
        with _pipe(self._process.stdout) as answers:
            for line in answers:
                self._answers.put(line)
        self._answers.put("")

    def _take_notes(self) -> None:
        with _pipe(self._process.stderr) as words:
            self._words.extend(words)


def host_bytes(process: int) -> int:
    """Return the anonymous and shared pages of a process; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith(HOST_FIELDS)]
    return 1024 * sum(int(size) for size in sizes)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise WorkerLost("A pipe to the child is missing.", "Try again.")
    return pipe
