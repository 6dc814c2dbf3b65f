"""The queue, and the worker that carries it out and is started again when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from engine.errors import (
    ErrorReport,
    NotFound,
    QueueFull,
    StudioError,
    WorkerLost,
    from_report,
    report,
)
from engine.events import JobEvent, Progress
from engine.hardware import Tuning
from engine.jobs.desk import Desk
from engine.jobs.order import (
    CancelOrder,
    MeasureOrder,
    Order,
    Tuned,
    TuneOrder,
    WorkerBroken,
    WorkerState,
)
from engine.service.links import GRACE_SECONDS, Link
from engine.service.status import Status, status_of

_log = logging.getLogger(__name__)


class Workshop:
    """Has orders carried out one after another, under one lock; hire: makes the link to a worker.

    No worker is started before `wake` or an order. heard: told when a job begins and ends, but not
    of the end that `close` makes. orders: what waits from the beginning.
    """

    def __init__(
        self,
        hire: Callable[[], Link],
        heard: Callable[[JobEvent], None] | None = None,
        orders: Iterable[Order] = (),
    ) -> None:
        self._hire = hire
        self._heard = heard
        self._desk = Desk(self._pass_on)
        self._desk.restore(orders)
        self._news = threading.Condition()
        self._link: Link | None = None
        self._state: WorkerState | None = None
        self._was_lost = False
        self._tuned: Tuned | None = None
        self._has_asked: Link | None = None
        self._resting = False
        self._closed = threading.Event()
        self._wanted = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="engine", daemon=True)
        self._supervisor.start()

    @property
    def closed(self) -> bool:
        """Whether no more orders are taken."""
        return self._closed.is_set()

    @property
    def tuned(self) -> Tuning | None:
        """What `optimise` found last."""
        return None if self._tuned is None else self._tuned.tuning

    def wake(self) -> None:
        """Start a worker, if there is none; returns at once."""
        self._wanted.set()

    def accept(self, order: Order) -> None:
        """Put an order into the queue; raise `QueueFull`, or `WorkerLost` once closed."""
        with self._news:
            self._check_taking()
            self._desk.accept(order)
            self._wanted.set()
            self._hand_out()
            self._news.notify_all()

    def check_room(self) -> None:
        """Raise `QueueFull` where no more orders are taken, or `WorkerLost` once closed."""
        with self._news:
            self._check_taking()
            self._desk.check_room()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Take no orders meanwhile; raise `QueueFull` where none are taken already."""
        with self._news:
            self._check_taking()
            self._resting = True
        try:
            yield
        finally:
            self._resting = False

    def queue(self) -> tuple[str | None, tuple[Order, ...], Progress | None]:
        """Return the job that runs, the orders that have not ended, and how far the first is."""
        with self._news:
            return self._desk.running, self._desk.orders, self._desk.progress()

    def move(self, job: str, place: int) -> tuple[str, ...]:
        """Put a waiting job at a place of the queue, 0 = next; return the jobs as they come now.

        Raise `NotFound` for a job that does not wait.
        """
        with self._news:
            if not self._desk.move(job, place):
                raise NotFound(f"The job {job!r:.40} does not wait.", "It may have begun.")
            self._news.notify_all()
            return tuple(order.job for order in self._desk.orders)

    def cancel(self, job: str) -> bool:
        """Stop a job, waiting or running; return False where it has ended or never was."""
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

    def optimise(self, data_dir: Path) -> Tuning:
        """Have the worker find its fastest ways, and keep them in a folder.

        Raise an error of the tree, `QueueFull` while a picture is painted.
        """
        with self._news:
            self._check_open()
            if self._desk.running is not None:
                raise QueueFull("A picture is being painted.", "Optimise once it is done.")
            self._wanted.set()
            # A worker that cannot begin is not wanted any more.
            self._wait_for(lambda: self._state is not None or not self._wanted.is_set())
            self._tuned, link = None, self._link
            if link is not None:
                link.send(TuneOrder(data_dir=data_dir))
                self._wait_for(lambda: self._tuned is not None or self._link is not link)
            told: Tuned | None = self._tuned
        if told is None or told.tuning is None:
            error = told.error if told is not None else None
            raise from_report(error) if error else WorkerLost("The painting process was lost.")
        return told.tuning

    def status(self) -> Status:
        """Say how the worker and the queue are, without waiting."""
        with self._news:
            busy, waiting = self._desk.running is not None, self._desk.waiting
            return status_of(self._state, busy=busy, lost=self._was_lost, waiting=waiting)

    def told(self, data_dir: Path) -> WorkerState | None:
        """Return what the worker told of its machine last; have it measured if it is not yet."""
        with self._news:
            self._ask_for_rates(data_dir)
            return self._state

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

    def join(self) -> None:
        """Wait for the last worker to be gone, but not for ever."""
        self._supervisor.join(2 * GRACE_SECONDS)

    def _pass_on(self, event: JobEvent) -> None:
        # A job that ends with the program goes on at the next start.
        if self._heard is not None and not self._closed.is_set():
            self._heard(event)

    def _ask_for_rates(self, data_dir: Path) -> None:
        """Have an idle worker find out, once, how fast its machine is, if that is not known."""
        told, link = self._state, self._link
        if told is None or link is None or self._desk.running or self._has_asked is link:
            return
        self._has_asked = link
        if not told.rates.operations:
            link.send(MeasureOrder(data_dir=data_dir))

    def _wait_for(self, done: Callable[[], bool]) -> None:
        """Wait, holding the lock, until something is so; raise `WorkerLost` when this closes.

        With a limit each time, so that Ctrl-C is heard on every system.
        """
        while not done():
            self._check_open()
            self._news.wait(0.5)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise WorkerLost("The engine is closed.", "Start the program again.")

    def _check_taking(self) -> None:
        self._check_open()
        if self._resting:
            raise QueueFull("Files are being moved.", "Try again once that is done.")

    def _supervise(self) -> None:
        """Keep a worker as long as the engine is open; after a failed start, only when needed."""
        while self._wanted.wait() and not self._closed.is_set():
            with ExitStack() as guard:
                guard.push(self._survive)
                self._employ()

    def _employ(self) -> None:
        """Hire a worker, and take what it tells until it is gone."""
        link = self._hire()
        with self._news:
            self._link = link
        if self._closed.is_set():
            link.dismiss()
        try:
            error, began = self._listen(link)
        finally:
            link.dismiss()
        self._lose(error or report(_lost(link.last_words())), began=began)

    def _survive(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Take whatever goes wrong with a worker for its loss: without this thread no job ends."""
        if error is not None:
            _log.error("The painting process could not be kept.", exc_info=error)
            self._lose(report(error), began=False)
        return error is not None

    def _listen(self, link: Link) -> tuple[ErrorReport | None, bool]:
        """Hear a worker until it is gone; return why it gave up, if it did, and if it began."""
        error: ErrorReport | None = None
        began = False
        while (message := link.receive()) is not None:
            if isinstance(message, WorkerBroken):
                error = message.error
            if isinstance(message, WorkerState):
                began = True
                if error is not None:
                    # It is about to end, and must get no more work.
                    continue
            self._hear(message)
        return error, began

    def _hear(self, message: object) -> None:
        with self._news:
            match message:
                case WorkerState():
                    self._state = message
                    self._was_lost = False
                case JobEvent():
                    self._desk.record(message)
                case Tuned():
                    self._tuned = message
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


def _lost(words: str) -> StudioError:
    return WorkerLost(
        f"The painting process died: {words}.",
        "It is started again; the log file holds what it said.",
    )
