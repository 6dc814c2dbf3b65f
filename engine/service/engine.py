"""The engine as the page and the commands see it: orders in, events out; no torch in here.

The painting happens in a worker process that is started again when it dies.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine import settings as settings_file
from engine.errors import Cancelled, NotFound, QueueFull, from_report
from engine.events import Done, Failed, JobEvent, Result
from engine.hardware import Tuning
from engine.hub.plan import DownloadPlan, plan_download
from engine.hub.service import Downloads
from engine.inputs import Inputs, uses
from engine.jobs.order import Output
from engine.journal.store import open_store
from engine.memory.forecast import Forecast
from engine.presets import HardwarePreset, Presets, hardware_presets
from engine.prompts import Reading
from engine.request import LongPrompt, Precision, Request
from engine.service.catalogue import Catalogue
from engine.service.forecast import foresee
from engine.service.history import History
from engine.service.links import Link, ProcessLink, ThreadLink
from engine.service.moving import FOLDER_NAMES, OUTPUT_FOLDER, Tell, folder_of, move_folder
from engine.service.orders import make_order
from engine.service.queue import Queue
from engine.service.reader import PromptReader
from engine.service.recovery import recover
from engine.service.status import Status
from engine.service.stores import Keep, Kept, clear_folder, folder_size
from engine.service.workshop import Workshop
from engine.settings import Settings, models_folder
from engine.storage import check_writable, make_folder, project_root, sweep_temporary
from engine.tasks.find import find_model
from engine.tasks.frame import frame_of
from engine.tasks.kind import intention
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
        journal: bool = False,
        hire: Callable[[], Link] | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._downloads = Downloads()
        self._reader = PromptReader()
        # Of a large folder that takes a while.
        folder = self._settings.output_folder
        threading.Thread(target=sweep_temporary, args=(folder,), daemon=True).start()
        hire = hire or (ThreadLink if in_process else ProcessLink)
        self._history, self._notices = self._open_history() if journal else (None, ())
        with ExitStack() as undo:
            if self._history is not None:
                undo.callback(self._history.close)
            orders = () if self._history is None else recover(self._history)
            self._restored = frozenset(order.job for order in orders)
            heard = None if self._history is None else self._history.heed
            self._workshop = Workshop(hire, heard, orders)
            undo.pop_all()
        if not asleep:
            self.wake()

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
        """Keep new settings and save them; jobs that were accepted follow the old ones.

        Raise `DiskError`, also where no picture could be saved in a new output folder.
        """
        if settings.output_folder != self._settings.output_folder:
            make_folder(settings.output_folder)
            check_writable(settings.output_folder)
        settings_file.save(settings)
        self._settings = settings

    def wake(self) -> None:
        """Start a worker, if there is none; returns at once."""
        self._workshop.wake()

    def keep_input(self, source: Path | bytes) -> str:
        """Keep a picture or a mask to begin with, and return the name that requests give it by.

        Raise `NotFound`, `FileRejected` or `DiskError`.
        """
        return Inputs(self._settings.data_dir).keep(source)

    def submit(self, request: Request, output: Output | None = None, *, session: str = "") -> str:
        """Accept a request and return its job's id; raise `QueueFull`.

        Without an output, the picture goes to the settings' folder under a fresh name. Pictures
        given as paths are kept first, which may raise `NotFound`, `FileRejected` or `DiskError`.
        session: whose job it is, "" = the owner's of the computer.
        """
        self._workshop.check_room()
        order = make_order(request, self._settings, output, session)
        with ExitStack() as undo:
            if self._history is not None:
                # Written down first: whoever is told that it was accepted may rely on it.
                self._history.jobs.accept(order)
                undo.callback(self._history.jobs.forget, order.job)
            self._workshop.accept(order)
            undo.pop_all()
        return order.job

    def cancel(self, job: str) -> bool:
        """Stop a job, waiting or running; return False where it has ended or never was.

        A running job ends within one step or one strip of the picture.
        """
        return self._workshop.cancel(job)

    def events(self, job: str) -> Iterator[JobEvent]:
        """Yield the events of a job from its beginning to its terminal event, as they come."""
        return self._workshop.events(job)

    def poll(self, job: str, seen: int, timeout: float) -> list[JobEvent]:
        """Return the events of a job after the first `seen`; wait up to `timeout` s for one."""
        return self._workshop.poll(job, seen, timeout)

    @property
    def history(self) -> History | None:
        """The pictures and prompts of earlier days; None without a journal (see `notices`)."""
        return self._history

    @property
    def notices(self) -> tuple[str, ...]:
        """What was wrong with the journal when it was opened."""
        return self._notices

    @property
    def queue(self) -> Queue:
        """The jobs that have not ended."""
        return Queue(self._workshop, self._history, self._restored)

    def duplicate(self, job: str, session: str | None = None) -> str:
        """Accept a job of the queue once more, with another seed, and return the new one's id.

        session: whose job it must be, None = anybody's. Raise `NotFound` or `QueueFull`.
        """
        found = self.queue.job(job, session)
        return self.submit(found.request.with_values(seed=None), session=found.session)

    def inputs_size(self) -> int:
        """Return how many bytes the input pictures take that are kept."""
        return Inputs(self._settings.data_dir).size()

    def kept(self) -> tuple[Kept, ...]:
        """Return how much room everything takes that can be cleared."""
        data_dir = self._settings.data_dir
        sizes: dict[Keep, int] = {kind: folder_size(data_dir, kind) for kind in Keep}
        sizes[Keep.INPUTS] = self.inputs_size()
        return tuple(Kept(kind, sizes[kind]) for kind in Keep)

    def clear(self, kind: Keep) -> int:
        """Remove what is kept of a kind and not needed; return the bytes freed.

        Raise `DiskError` for the trash.
        """
        if kind is Keep.INPUTS:
            return self.clear_inputs()
        if kind is Keep.TRASH and self._history is not None:
            before = folder_size(self._settings.data_dir, kind)
            self._history.empty_trash()
            return before
        return clear_folder(self._settings.data_dir, kind)

    def move_files(self, wanted: Settings, tell: Tell = lambda *_: None) -> int:
        """Move what is in the folders that `wanted` names anew, and keep the new settings.

        Return how many files moved. No job is accepted meanwhile. Raise `QueueFull` where a job has
        not ended, for its order names the old folder; `BadRequest` or `DiskError`. Of the folder
        that this is about nothing has moved then, and the settings name it as before.
        """
        count = 0
        with self._workshop.resting():
            if jobs := len(self.queue.jobs()):
                raise QueueFull(
                    f"Nothing can be moved before all jobs have ended ({jobs} left).",
                    "Wait until they are done, or cancel them.",
                )
            for name in FOLDER_NAMES:
                old, new = folder_of(self._settings, name), folder_of(wanted, name)
                if old != new:
                    settle = partial(self._note_move, name, old, new)
                    count += move_folder(old, new, tell, settle=settle)
            self.update_settings(wanted)
        return count

    def clear_inputs(self) -> int:
        """Remove the input pictures that no job and no picture needs; return the bytes freed."""
        needed = set[str]() if self._history is None else {*self._history.used_inputs()}
        needed.update(name for job in self.queue.jobs() for name in uses(job.request))
        return Inputs(self._settings.data_dir).clear(needed)

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
        return self._workshop.optimise(self._settings.data_dir)

    @property
    def tuning(self) -> Tuning | None:
        """What `optimise` found last, since the program began."""
        return self._workshop.tuned

    def status(self) -> Status:
        """Say how the engine is, without waiting."""
        return self._workshop.status()

    def forecast(self, request: Request) -> Forecast | None:
        """Say what a request would take; None where the machine is not known, or not enough of it.

        Raise an error of the tree for a request that cannot be painted at all.
        """
        told = self._workshop.told(self._settings.data_dir)
        return None if told is None else foresee(request, self._settings, told)

    def intention(self, request: Request) -> str:
        """Say in one line what would be done with the pictures of a request, and why.

        Raise `BadRequest` where it cannot be done, `NotFound` or `FileRejected` for its model.
        """
        return intention(request, self.model(request.model))

    def painted_size(self, request: Request) -> tuple[int, int]:
        """Return width and height in pixels at which the model paints each picture of a request.

        Raise an error of the tree for a request that cannot be painted.
        """
        variant = self.model(request.model)
        if not request.images:
            usual = variant.defaults
            return request.width or usual.width, request.height or usual.height
        return frame_of(request, variant, self._settings.data_dir).size

    def hardware_presets(self) -> tuple[HardwarePreset, ...]:
        """Return what suits graphics cards of usual sizes; what is wrong with others is logged."""
        found, notices = hardware_presets(project_root() / "presets" / "hardware")
        for notice in notices:
            _log.warning("%s", notice)
        return found

    @property
    def presets(self) -> Presets:
        """Styles, shapes, full presets and word lists: the program's and the user's."""
        return Presets(self._settings.data_dir)

    def read_prompt(self, prompt: str, model: str, way: LongPrompt = LongPrompt.CUT) -> Reading:
        """Say how a model reads a prompt: its tokens, and what is left out of a long one.

        Raise `NotFound` or `FileRejected` where the model's files are not here or cannot be read.
        """
        return self._reader.read(prompt, model, way, self._settings.data_dir)

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
            models_folder(self._settings.data_dir),
            cancelled=lambda: self._workshop.closed or cancelled(),
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
        self._workshop.close()
        self._downloads.close()
        self._workshop.join()
        if self._history is not None:
            self._history.close()

    def _note_move(self, name: str, old: Path, new: Path) -> None:
        """Write down that a folder of the settings is elsewhere now: everywhere, or nowhere."""
        change: dict[str, Any] = {name: new}
        with ExitStack() as undo:
            undo.callback(self.update_settings, self._settings)
            with ExitStack() as journal:
                if name == OUTPUT_FOLDER and self._history is not None:
                    journal.enter_context(self._history.moving(old.absolute(), new.absolute()))
                self.update_settings(replace(self._settings, **change))
            undo.pop_all()

    def _open_history(self) -> tuple[History | None, tuple[str, ...]]:
        store, notices = open_store(self._settings.data_dir)
        for notice in notices:
            _log.warning("%s", notice)
        return None if store is None else History(store, self._settings.data_dir), notices
