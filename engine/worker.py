"""The painting process: takes orders, paints, and tells what happens.

`serve` is the whole life of it, in a process of its own (`main`) or in a thread. One thread reads
messages while another paints, so that a cancel is heard at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from engine import events
from engine.errors import BugError, Cancelled, StudioError, WorkerLost, report
from engine.events import JobEvent, Result
from engine.jobs import wire
from engine.jobs.order import CancelOrder, Hooks, Order, Step, WorkerBroken, WorkerState
from engine.request import Device

PATIENCE_SECONDS = 2.0
"""How long a job may take to stop once the page's process is gone."""

Send = Callable[[object], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """What does the work: `paint` makes the pictures, `state` describes the machine."""

    paint: Callable[[Order, Hooks], Result]
    state: Callable[[], WorkerState]


def real_painter() -> Painter:
    """Return the painter of this machine; importing it takes seconds, for it brings torch."""
    from engine.memory.probe import describe, hardware
    from engine.memory.studio import Studio
    from engine.run import execute
    from engine.tasks.resolve import choose_device

    studio, device = Studio(), choose_device(Device.AUTO, hardware())
    return Painter(
        paint=lambda order, hooks: execute(order, studio, hooks), state=lambda: describe(device)
    )


def serve(
    inbox: Iterable[object], send: Send, make_painter: Callable[[], Painter] = real_painter
) -> None:
    """Carry out the orders of `inbox`, one at a time, until it ends; then stop the last one."""
    worker = _Worker(send)
    with ThreadPoolExecutor(1, thread_name_prefix="painter") as pool:
        pool.submit(make_painter).add_done_callback(worker.set_up)
        for message in inbox:
            if isinstance(message, Order):
                pool.submit(worker.paint, message).add_done_callback(worker.finish(message))
            elif isinstance(message, CancelOrder):
                worker.cancelled.add(message.job)
        worker.closing.set()


def main() -> None:
    """Serve the process at the other end of standard input and output."""
    # The page's process gets Ctrl-C too, and decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # Whatever a library prints must not get between the messages.
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(_messages(sys.stdin.buffer), _sender(outbox))
    # A plain exit would wait for torch to take itself apart.
    os._exit(0)


class _Worker:
    """The worker's state: its painter, once that stands, and which jobs are to stop."""

    def __init__(self, send: Send) -> None:
        self.cancelled: set[str] = set()
        self.closing = threading.Event()
        self._send = send
        self._painter: Painter | None = None

    def set_up(self, made: Future[Painter]) -> None:
        """Take the painter and say that work can begin, or that none ever will."""
        error = made.exception()
        if error is not None:
            self._send(WorkerBroken(error=report(_logged(error))))
            return
        self._painter = made.result()
        self._send(self._painter.state())

    def paint(self, order: Order) -> Result:
        """Carry out one order."""
        if self._painter is None:
            raise BugError("An order came before the painter stood.")
        self._send(events.Started(job=order.job))
        return self._painter.paint(order, self._hooks(order.job))

    def finish(self, order: Order) -> Callable[[Future[Result]], None]:
        """Return what to do once an order is carried out: send its terminal event.

        A future holds any failure, even one that is no Exception, without an except clause that
        would keep the frames of the job, and with them its tensors, alive.
        """

        def ended(attempt: Future[Result]) -> None:
            self.cancelled.discard(order.job)
            error = attempt.exception()
            if self._painter is not None:
                self._send(self._painter.state())
            self._send(_ending(order.job, attempt))
            if isinstance(error, WorkerLost):
                self._send(WorkerBroken(error=report(error)))

        return ended

    def _hooks(self, job: str) -> Hooks:
        def emit(step: Step) -> None:
            self._send(
                events.Progress(
                    job=job,
                    stage=step.stage,
                    step=step.step,
                    total=step.total,
                    eta=step.eta,
                    preview=step.preview,
                )
            )

        return Hooks(
            emit=emit,
            warn=lambda message: self._send(events.Warned(job=job, message=message)),
            cancelled=lambda: self.closing.is_set() or job in self.cancelled,
        )


def _ending(job: str, attempt: Future[Result]) -> JobEvent:
    """Return the terminal event of an attempt."""
    error = attempt.exception()
    if error is None:
        return events.Done(job=job, result=attempt.result())
    if isinstance(error, Cancelled):
        return events.Cancelled(job=job)
    return events.Failed(job=job, error=report(_logged(error)))


def _logged(error: BaseException) -> BaseException:
    """Log where an unforeseen error comes from, then let go of the frames it came through."""
    if not isinstance(error, StudioError):
        _log.error("%s", "".join(traceback.format_exception(error)).rstrip())
    error.__traceback__ = None
    return error


def _messages(stream: BinaryIO) -> Iterator[object]:
    """Yield the messages of a stream; at its end, which is the parent's too, see to our own."""
    for line in stream:
        yield wire.decode(line)
    lifeline = threading.Timer(PATIENCE_SECONDS, os._exit, (1,))
    lifeline.daemon = True
    lifeline.start()


def _sender(stream: BinaryIO) -> Send:
    lock = threading.Lock()

    def send(message: object) -> None:
        line = wire.encode(message)
        with lock:
            stream.write(line)
            stream.flush()

    return send
