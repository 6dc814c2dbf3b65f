"""The engine as the page and the commands see it: orders in, events out; no torch in here.

The painting happens in a worker process that is started again when it dies.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from engine import settings as settings_file
from engine.errors import (
    Cancelled,
    ErrorReport,
    NotFound,
    QueueFull,
    StudioError,
    WorkerLost,
    from_report,
    report,
)
from engine.events import Done, Failed, JobEvent, Result
from engine.hardware import Tuning
from engine.hub.plan import DownloadPlan, plan_download
from engine.hub.service import Downloads
from engine.jobs.desk import Desk
from engine.jobs.order import (
    CancelOrder,
    MeasureOrder,
    Output,
    Tuned,
    TuneOrder,
    WorkerBroken,
    WorkerState,
)
from engine.memory.forecast import Forecast
from engine.presets import HardwarePreset, hardware_presets
from engine.request import Precision, Request
from engine.service.catalogue import Catalogue
from engine.service.forecast import foresee
from engine.service.links import GRACE_SECONDS, Link, ProcessLink, ThreadLink
from engine.service.orders import make_order
from engine.service.status import Status, status_of
from engine.settings import Settings
from engine.storage import project_root, sweep_temporary
from engine.tasks.find import MODELS, find_model
from engine.variants import VARIANTS, Variant, by_name

_log = logging.getLogger(__name__)


class Engine:
    """Takes requests, has them painted one after another, and tells what happens.

    Use it as a context manager. in_process: paint in a thread of this process instead of a process
    of its own, which brings torch into this one. asleep: start no worker before `wake` or a job,
    for that takes the processor from whatever else begins. hire: makes the link to a worker.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        in_process: bool = False,
        asleep: bool = False,
        hire: Callable[[], Link] | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._hire = hire or (ThreadLink if in_process else ProcessLink)
        self._desk = Desk()
        self._news = threading.Condition()
        self._link: Link | None = None
        self._state: WorkerState | None = None
        self._was_lost = False
        self._tuned: Tuned | None = None
        self._has_asked: Link | None = None
        self._downloads = Downloads()
        self._closed = threading.Event()
        self._wanted = threading.Event()
        if not asleep:
            self.wake()
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

    def wake(self) -> None:
        """Start a worker, if there is none; returns at once."""
        self._wanted.set()

    def submit(self, request: Request, output: Output | None = None) -> str:
        """Accept a request and return its job's id; raise `QueueFull`.

        Without an output, the picture goes to the settings' folder under a fresh name.
        """
        order = make_order(request, self._settings, output)
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

    def optimise(self) -> Tuning:
        """Find the fastest ways that this machine has of computing, and keep them; takes a minute.

        Jobs that come meanwhile wait. Raise an error of the tree, `QueueFull` while one is painted.
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
                link.send(TuneOrder(data_dir=self._settings.data_dir))
                self._wait_for(lambda: self._tuned is not None or self._link is not link)
            told: Tuned | None = self._tuned
        if told is None or told.tuning is None:
            error = told.error if told is not None else None
            raise from_report(error) if error else WorkerLost("The painting process was lost.")
        return told.tuning

    @property
    def tuning(self) -> Tuning | None:
        """What `optimise` found last, since the program began."""
        return None if self._tuned is None else self._tuned.tuning

    def status(self) -> Status:
        """Say how the engine is, without waiting."""
        with self._news:
            busy, waiting = self._desk.running is not None, self._desk.waiting
            return status_of(self._state, busy=busy, lost=self._was_lost, waiting=waiting)

    def forecast(self, request: Request) -> Forecast | None:
        """Say what a request would take; None where the machine is not known, or not enough of it.

        Raise an error of the tree for a request that cannot be painted at all.
        """
        with self._news:
            told = self._state
            self._ask_for_rates()
        return None if told is None else foresee(request, self._settings, told)

    def hardware_presets(self) -> tuple[HardwarePreset, ...]:
        """Return what suits graphics cards of usual sizes; what is wrong with others is logged."""
        found, notices = hardware_presets(project_root() / "presets" / "hardware")
        for notice in notices:
            _log.warning("%s", notice)
        return found

    def models(self) -> tuple[Variant, ...]:
        """Return the model variants that the program knows, in the order to offer them."""
        return VARIANTS

    @property
    def catalogue(self) -> Catalogue:
        """The models and adapters there are, by the settings of this moment."""
        return Catalogue(self._settings)

    @property
    def downloads(self) -> Downloads:
        """The download that runs in the background, if any."""
        return self._downloads

    def plan_download(
        self,
        name: str,
        precision: Precision = Precision.AUTO,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> DownloadPlan:
        """Say what fetching a model would take, before anything is fetched.

        That may read tens of gigabytes of files that are here already. cancelled: asked several
        times a second. Raise `NotFound`, or `Cancelled` when it says so or the engine closes.
        """
        return plan_download(
            by_name(name),
            precision,
            self._settings.data_dir / MODELS,
            cancelled=lambda: self._closed.is_set() or cancelled(),
        )

    def model(self, name_or_path: str) -> Variant:
        """Return the variant of a name or of a model folder; raise `NotFound`, `FileRejected`."""
        try:
            return by_name(name_or_path)
        except NotFound:
            asked = Request(prompt="", model=name_or_path)
            return find_model(asked, self._settings.data_dir).variant

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
        self._downloads.close()
        self._supervisor.join(2 * GRACE_SECONDS)

    def _ask_for_rates(self) -> None:
        """Have an idle worker find out, once, how fast its machine is, if that is not known."""
        told, link = self._state, self._link
        if told is None or link is None or self._desk.running or self._has_asked is link:
            return
        self._has_asked = link
        if not told.rates.operations:
            link.send(MeasureOrder(data_dir=self._settings.data_dir))

    def _wait_for(self, done: Callable[[], bool]) -> None:
        """Wait, holding the lock, until something is so; raise `WorkerLost` when the engine closes.

        With a limit each time, so that Ctrl-C is heard on every system.
        """
        while not done():
            self._check_open()
            self._news.wait(0.5)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise WorkerLost("The engine is closed.", "Start the program again.")

    def _supervise(self) -> None:
        """Keep a worker as long as the engine is open; after a failed start, only when needed."""
        sweep_temporary(self._settings.output_folder)
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
