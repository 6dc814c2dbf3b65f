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
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from engine import events
from engine.errors import BugError, Cancelled, StudioError, WorkerLost, report
from engine.events import JobEvent, Result
from engine.hardware import Rates, Tuning
from engine.jobs import wire
from engine.jobs.order import (
    CancelOrder,
    Hooks,
    MeasureOrder,
    Order,
    Step,
    Tuned,
    TuneOrder,
    WorkerBroken,
    WorkerState,
)
from engine.lasting import lasting
from engine.request import Device, Precision

PATIENCE_SECONDS = 2.0
"""How long a job may take to stop once the page's process is gone."""

Send = Callable[[object], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """What does the work: `paint` makes the pictures, `state` describes the last job's device.

    tune: finds the fastest ways of that device and keeps them in a folder; its other argument may
    raise to stop that. measure: finds out how fast the device is, and keeps that.
    """

    paint: Callable[[Order, Hooks], Result]
    state: Callable[[], WorkerState]
    tune: Callable[[Path, Callable[[], None]], Tuning]
    measure: Callable[[Path], None] = lambda _: None


def real_painter() -> Painter:
    """Return the painter of this machine; importing it takes seconds, for it brings torch."""
    with lasting():
        from engine.memory.place import computes_in_bf16
        from engine.memory.probe import card_now, describe, hardware, host_now
        from engine.memory.rates import known_rates, measured_rates
        from engine.memory.studio import Studio
        from engine.memory.tune import apply_tuning, known_tuning, tune
        from engine.run import execute
        from engine.tasks.resolve import choose_device, choose_precision

    studio, machine = Studio(), hardware()
    device, data_dir = choose_device(Device.AUTO, machine), None

    def use(folder: Path) -> None:
        nonlocal data_dir
        if data_dir is None:
            apply_tuning(known_tuning(device, folder))
        data_dir = folder

    def paint(order: Order, hooks: Hooks) -> Result:
        nonlocal device
        device = choose_device(order.request.device, machine)
        use(order.data_dir)
        return execute(order, studio, hooks, machine)

    def state() -> WorkerState:
        return replace(
            describe(device),
            precision=choose_precision(Precision.AUTO, device, machine),
            name=device,
            card=card_now(device, machine),
            host=host_now(),
            rates=known_rates(device, data_dir) if data_dir else Rates(),
            has_bf16=computes_in_bf16("cpu"),
        )

    def measure(folder: Path) -> None:
        use(folder)
        measured_rates(device, folder)

    def find_ways(folder: Path, check: Callable[[], None]) -> Tuning:
        use(folder)
        studio.forget()
        tuning = tune(device, folder, check)
        apply_tuning(tuning)
        return tuning

    return Painter(paint=paint, state=state, tune=find_ways, measure=measure)


def serve(
    inbox: Iterable[object], send: Send, make_painter: Callable[[], Painter] = real_painter
) -> None:
    """Carry out the orders of `inbox`, one at a time, until it ends; then stop the last one."""
    worker = _Worker(send)
    with ThreadPoolExecutor(1, thread_name_prefix="painter") as pool, ExitStack() as end:
        # However the inbox ends: the pool waits for its last job.
        end.callback(worker.closing.set)
        pool.submit(worker.set_up, make_painter).add_done_callback(worker.begin)
        for message in inbox:
            if isinstance(message, Order):
                worker.take(message, pool)
            elif isinstance(message, TuneOrder):
                pool.submit(worker.tune, message).add_done_callback(worker.answer)
            elif isinstance(message, MeasureOrder):
                pool.submit(worker.measure, message).add_done_callback(worker.describe)
            elif isinstance(message, CancelOrder):
                worker.cancelled.add(message.job)


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

    def set_up(self, make_painter: Callable[[], Painter]) -> WorkerState:
        """Make the painter, and describe the machine as it found it."""
        painter = make_painter()
        state = painter.state()
        self._painter = painter
        return state

    def begin(self, made: Future[WorkerState]) -> None:
        """Say that work can begin, or that none ever will."""
        error = made.exception() or self._fault(made.result())
        if error is not None:
            self._send(WorkerBroken(error=report(_logged(error))))

    def take(self, order: Order, pool: Executor) -> None:
        """Have an order carried out, and then the machine described.

        A future holds any failure, even one that is no Exception, without an except clause that
        would keep the frames of the job, and with them its tensors, alive.
        """
        attempt = pool.submit(self._paint, order)
        pool.submit(self._describe).add_done_callback(self._finish(order.job, attempt))

    def tune(self, order: TuneOrder) -> Tuning:
        """Find the fastest ways of this machine."""
        return self._ready().tune(order.data_dir, self._check_open)

    def measure(self, order: MeasureOrder) -> WorkerState:
        """Find out how fast this machine is, and describe it."""
        self._ready().measure(order.data_dir)
        return self._describe()

    def describe(self, measured: Future[WorkerState]) -> None:
        """Send what was found; a machine that cannot be measured can still paint."""
        error = measured.exception() or self._fault(measured.result())
        if error is not None:
            _log.warning("The machine could not be described: %s", _logged(error))

    def answer(self, attempt: Future[Tuning]) -> None:
        """Tell what came of that."""
        error = attempt.exception() or self._fault(Tuned(tuning=attempt.result()))
        if error is not None:
            self._send(Tuned(error=report(_logged(error))))

    def _fault(self, message: object) -> Exception | None:
        """Send a message, or return why it cannot travel: a failure of ours."""
        try:
            self._send(message)
        except (TypeError, ValueError) as error:
            return error
        return None

    def _check_open(self) -> None:
        if self.closing.is_set():
            raise Cancelled("The program ends.")

    def _paint(self, order: Order) -> Result:
        painter = self._ready()
        self._send(events.Started(job=order.job))
        return painter.paint(order, self._hooks(order.job))

    def _describe(self) -> WorkerState:
        return self._ready().state()

    def _ready(self) -> Painter:
        if self._painter is None:
            raise BugError("An order came before the painter stood.")
        return self._painter

    def _finish(self, job: str, attempt: Future[Result]) -> Callable[[Future[WorkerState]], None]:
        """Return what to do after an attempt: send its terminal event and the worker's state.

        A worker that can do no more says so first, or it would be given the next job.
        """

        def ended(described: Future[WorkerState]) -> None:
            self.cancelled.discard(job)
            error = attempt.exception()
            broken = error if isinstance(error, WorkerLost) else described.exception()
            if broken is not None:
                self._send(WorkerBroken(error=report(_logged(broken))))
            fault = self._fault(_ending(job, attempt))
            if fault is not None:
                self._send(events.Failed(job=job, error=report(_logged(fault))))
            if broken is None:
                self.describe(described)

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
        if not line.endswith(b"\n"):
            # The parent died while it wrote.
            break
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
