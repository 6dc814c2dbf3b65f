"""The engine as the page and the commands see it: orders in, events out; no torch in here.

The painting happens in a worker process that is started again when it dies.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType
from typing import IO, Literal, Protocol, Self

from engine import settings as settings_file
from engine import worker
from engine.errors import (
    BugError,
    Cancelled,
    ErrorReport,
    NotFound,
    StudioError,
    WorkerLost,
    from_report,
    report,
)
from engine.events import Done, Failed, JobEvent, Result
from engine.jobs import wire
from engine.jobs.desk import Desk
from engine.jobs.order import CancelOrder, Order, Output, WorkerBroken, WorkerState
from engine.request import Device, Precision, Request
from engine.settings import Settings
from engine.storage import project_root, sweep_temporary
from engine.tasks.resolve import find_model
from engine.variants import VARIANTS, Variant, by_name

GRACE_SECONDS = 3.0
"""How long a worker may take to end on its own."""

WORKER_ENVIRONMENT = MappingProxyType({"OMP_WAIT_POLICY": "PASSIVE"})
"""What the worker gets unless the user set it: torch's threads sleep while they wait.

By default they spin, and take the processor from the page, the browser and, where others compute
too, from each other: small models then paint up to fifteen times slower.
"""

State = Literal["starting", "ready", "busy", "restarting"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the engine is: its state, the device and its memory in words, and how many jobs wait."""

    state: State
    device: str
    memory: str
    queue: int


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


class Engine:
    """Takes requests, has them painted one after another, and tells what happens.

    Use it as a context manager. in_process: paint in a thread of this process instead of a process
    of its own, which brings torch into this one. hire: makes the link to a worker.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        in_process: bool = False,
        hire: Callable[[], Link] | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._hire = hire or (ThreadLink if in_process else ProcessLink)
        self._desk = Desk()
        self._news = threading.Condition()
        self._link: Link | None = None
        self._state: WorkerState | None = None
        self._was_lost = False
        self._closed = threading.Event()
        self._wanted = threading.Event()
        self._wanted.set()
        self._supervisor = threading.Thread(target=self._supervise, name="engine", daemon=True)
        self._supervisor.start()

    def __enter__(self) -> Self:
        """Return the engine, which is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""
        self.close()

    @property
    def settings(self) -> Settings:
        """The settings that the next job will follow."""
        return self._settings

    def update_settings(self, settings: Settings) -> None:
        """Keep new settings and save them; jobs that were accepted follow the old ones."""
        settings_file.save(settings)
        self._settings = settings

    def submit(self, request: Request, output: Output | None = None) -> str:
        """Accept a request and return its job's id; raise `QueueFull`.

        Without an output, the picture goes to the settings' folder under a fresh name.
        """
        settings = self._settings
        order = Order(
            job=uuid.uuid4().hex[:12],
            request=_with_settings(request, settings),
            output=output or Output(folder=settings.output_folder),
            vram_gb=settings.vram_gb,
        )
        with self._news:
            self._check_open()
            self._desk.accept(order)
            self._wanted.set()
            self._hand_out()
            self._news.notify_all()
        return order.job

    def cancel(self, job: str) -> bool:
        """Stop a job, waiting or running; return False where it has ended or never was.

        A running job ends within one step or one strip of the picture.
        """
        with self._news:
            waited = self._desk.cancel(job)
            runs = self._desk.running == job
            if runs and self._link is not None:
                self._link.send(CancelOrder(job=job))
            self._news.notify_all()
            return waited or runs

    def events(self, job: str) -> Iterator[JobEvent]:
        """Yield the events of a job from its beginning to its terminal event, as they come."""
        seen, ended = 0, False
        while not ended:
            with self._news:
                fresh, ended = self._desk.events(job, seen)
                if not fresh and not ended:
                    # With a limit, so that Ctrl-C is heard on every system.
                    self._news.wait(0.5)
            seen += len(fresh)
            yield from fresh

    def poll(self, job: str, seen: int, timeout: float) -> list[JobEvent]:
        """Return the events of a job after the first `seen`; wait up to `timeout` s for one."""
        deadline = time.monotonic() + timeout
        with self._news:
            fresh, ended = self._desk.events(job, seen)
            while not fresh and not ended and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
                fresh, ended = self._desk.events(job, seen)
        return fresh

    def generate(self, request: Request) -> Result:
        """Have a request painted and return the result; raise an error of the tree."""
        job = self.submit(request)
        try:
            ending = list(self.events(job))[-1]
        except BaseException:
            self.cancel(job)
            raise
        match ending:
            case Done(result=result):
                return result
            case Failed(error=error):
                raise from_report(error)
            case _:
                raise Cancelled("The job was cancelled.")

    def status(self) -> Status:
        """Say how the engine is, without waiting."""
        with self._news:
            state: State = "restarting" if self._was_lost else "starting"
            if self._state is not None:
                state = "busy" if self._desk.running else "ready"
            device = self._state.device if self._state else ""
            memory = self._state.memory if self._state else ""
            return Status(state=state, device=device, memory=memory, queue=self._desk.waiting)

    def models(self) -> tuple[Variant, ...]:
        """Return the model variants that the program knows, in the order to offer them."""
        return VARIANTS

    def model(self, name_or_path: str) -> Variant:
        """Return the variant of a name or of a model folder; raise `NotFound`, `FileRejected`."""
        try:
            return by_name(name_or_path)
        except NotFound:
            return find_model(name_or_path).variant

    def close(self) -> None:
        """End all jobs and the worker; may be called twice."""
        with self._news:
            self._closed.set()
            self._desk.close()
            self._wanted.set()
            link = self._link
            self._news.notify_all()
        if link is not None:
            link.dismiss()
        self._supervisor.join(2 * GRACE_SECONDS)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise WorkerLost("The engine is closed.", "Start the program again.")

    def _supervise(self) -> None:
        """Keep a worker as long as the engine is open; after a failed start, only when needed."""
        sweep_temporary(self._settings.output_folder)
        while self._wanted.wait() and not self._closed.is_set():
            link = self._hire()
            with self._news:
                self._link = link
            if self._closed.is_set():
                link.dismiss()
            self._listen(link)

    def _listen(self, link: Link) -> None:
        """Take what a worker tells until it is gone."""
        error: ErrorReport | None = None
        began = False
        while (message := link.receive()) is not None:
            began = began or isinstance(message, WorkerState)
            if isinstance(message, WorkerBroken):
                error = message.error
            self._hear(message)
        link.dismiss()
        self._lose(error or report(_lost(link.last_words())), began=began)

    def _hear(self, message: object) -> None:
        with self._news:
            match message:
                case WorkerState():
                    self._state = message
                    self._was_lost = False
                case JobEvent():
                    self._desk.record(message)
                case WorkerBroken() if self._link is not None:
                    self._state = None
                    self._link.end()
            self._hand_out()
            self._news.notify_all()

    def _lose(self, error: ErrorReport, *, began: bool) -> None:
        """Note that the worker is gone; one that never began takes the next job with it."""
        with self._news:
            self._link = self._state = None
            if self._closed.is_set():
                return
            _log.error("The painting process was lost: %s", error)
            if not began:
                self._desk.take()
                self._wanted.clear()
            self._desk.fail_running(error)
            self._was_lost = True
            if self._desk.waiting:
                self._wanted.set()
            self._news.notify_all()

    def _hand_out(self) -> None:
        """Give the worker the next job, if it is free and there is one."""
        if self._link is not None and self._state is not None:
            order = self._desk.take()
            if order is not None:
                self._link.send(order)


class ProcessLink:
    """A worker in a process of its own, which ends when this one does."""

    def __init__(self) -> None:
        # The safe path keeps a file torch.py in the user's folder from being imported.
        root = str(project_root())
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            (sys.executable, "-c", "from engine.worker import main; main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**WORKER_ENVIRONMENT, **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        )
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._words: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._take_notes, daemon=True)
        self._listener.start()

    def send(self, message: object) -> None:
        """Send a message; a worker that is gone is noticed by `receive`."""
        # ValueError: the input was closed, for the worker is to end.
        with suppress(OSError, ValueError):
            self._stdin.write(wire.encode(message))
            self._stdin.flush()

    def receive(self) -> object | None:
        """Wait for the next message; None once the process is gone."""
        line = self._stdout.readline()
        if line.endswith(b"\n"):
            return wire.decode(line)
        self._stdout.close()
        return None

    def end(self) -> None:
        """Close the worker's input, which ends it."""
        with suppress(OSError):
            self._stdin.close()

    def dismiss(self) -> None:
        """End the process; kill it where it does not listen."""
        self.end()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(GRACE_SECONDS)

    def last_words(self) -> str:
        """Say how the process ended."""
        self._process.wait(GRACE_SECONDS)
        self._listener.join(GRACE_SECONDS)
        code = self._process.returncode
        if code == -9:
            return "it was killed, most likely because memory ran out"
        return self._words[-1] if self._words else f"exit code {code}"

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
        worker.serve(iter(self._inbox.get, None), self._outbox.put, make_painter)
        self._outbox.put(None)


def _with_settings(request: Request, settings: Settings) -> Request:
    """Put the user's choices where the request leaves them open."""
    if request.device == Device.AUTO:
        request = replace(request, device=settings.device)
    if request.precision is Precision.AUTO:
        request = replace(request, precision=settings.precision)
    return request


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream that was asked for as a pipe, and therefore is there."""
    if stream is None:
        raise BugError("The painting process has no pipe.")
    return stream


def _lost(words: str) -> StudioError:
    return WorkerLost(
        f"The painting process died: {words}.",
        "It is started again; the log file holds what it said.",
    )
