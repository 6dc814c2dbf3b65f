"""A series: many requests painted one after another, with one report and a sheet at the end.

What fails is noted and does not stop the rest.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from engine.errors import (
    BadRequest,
    Cancelled,
    ErrorReport,
    QueueFull,
    StudioError,
    from_report,
    report,
)
from engine.events import Done, Failed, JobEvent, Picture, Progress
from engine.jobs.order import Output
from engine.request import Request
from engine.sheets import Cell, Sheet
from engine.storage import make_folder, picture_name

MAX_ITEMS: Final = 1000
STEPS_FOLDER: Final = "steps"
"""Beside the pictures of a series, for what lies between its first steps and its last."""

_FULL_PAUSE = 0.5
_LEGIBLE: Final = 160
"""Pixels of a cell that has room for its label."""
_log = logging.getLogger(__name__)


class Painter(Protocol):
    """What a series needs of the engine."""

    def submit(self, request: Request, output: Output | None = None) -> str:
        """Accept a request and return its job's id."""

    def cancel(self, job: str) -> bool:
        """Stop a job."""

    def events(self, job: str) -> Iterator[JobEvent]:
        """Yield the events of a job until it has ended."""


class ItemState(StrEnum):
    """How an item of a series is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One picture of a series. label: what it is called in reports and on the sheet.

    steps: requests, one after another; each but the first gets the picture of the one before as its
    first input picture. output: where the last one's picture goes, None = as the settings say.
    """

    label: str
    steps: tuple[Request, ...]
    output: Output | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetPlan:
    """The sheet at the end of a series, whose cells are the items in order; see `sheets.Sheet`.

    folder: where it goes. name: its file's name (.png or .jpg), None = a fresh one by date.
    """

    folder: Path
    name: str | None = None
    columns: int = 0
    title: str = ""
    column_names: tuple[str, ...] = ()
    row_names: tuple[str, ...] = ()
    labels: bool = True
    side: int = 256

    def sheet(self, cells: tuple[Cell, ...], longest: int | None = None) -> Sheet:
        """Return the sheet with these cells; raise `BadRequest`.

        longest: side in pixels of the largest picture, which cells need not exceed by much.
        """
        return Sheet(
            cells=cells,
            columns=self.columns,
            title=self.title,
            column_names=self.column_names,
            row_names=self.row_names,
            side=self.side if longest is None else min(self.side, max(longest, _LEGIBLE)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """What a series paints: 1 to 1000 items, and the sheet of them, None = no sheet."""

    items: tuple[Item, ...]
    sheet: SheetPlan | None = None

    def __post_init__(self) -> None:
        """Check the numbers; raise `BadRequest`."""
        if not 1 <= len(self.items) <= MAX_ITEMS:
            raise BadRequest(
                f"A series paints 1 to {MAX_ITEMS} pictures, not {len(self.items)}.",
                "Choose fewer.",
            )
        for item in self.items:
            if not item.steps:
                raise BadRequest(f"Nothing is to be done for {item.label!r:.80}.")
        if self.sheet is not None:
            self.sheet.sheet(tuple(Cell() for _ in self.items))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReport:
    """How far an item is. step, steps: of its requests, from 1. progress: of the one that runs.

    picture: of the last request that is done, the result once the item is.
    """

    label: str
    steps: int = 1
    step: int = 0
    state: ItemState = ItemState.WAITING
    progress: Progress | None = None
    picture: Picture | None = None
    error: ErrorReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReport:
    """How far a series is. sheet: the file of its sheet, sheet_error: why there is none.

    ended: nothing more will come, whether all is done or the series was cancelled.
    """

    items: tuple[ItemReport, ...]
    ended: bool = False
    cancelled: bool = False
    sheet: Path | None = None
    sheet_error: ErrorReport | None = None

    def count(self, state: ItemState) -> int:
        """Return how many items are in a state."""
        return sum(item.state is state for item in self.items)

    @property
    def running(self) -> ItemReport | None:
        """The item that is being painted."""
        return next((item for item in self.items if item.state is ItemState.RUNNING), None)


class Series:
    """Paints a plan, in the calling thread with `run`, or in one of its own with `start`.

    submit: hands a request to the painter in another way than its own `submit`.
    """

    def __init__(
        self,
        painter: Painter,
        plan: SeriesPlan,
        submit: Callable[[Request, Output | None], str] | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._painter = painter
        self._plan = plan
        self._submit = submit or painter.submit
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._job: str | None = None
        self._tell: Callable[[SeriesReport], None] | None = None
        waiting = (ItemReport(label=item.label, steps=len(item.steps)) for item in plan.items)
        self._report = SeriesReport(items=tuple(waiting))

    @property
    def report(self) -> SeriesReport:
        """How far the series is at this moment."""
        return self._report

    @property
    def stopping(self) -> bool:
        """Whether somebody cancelled the series, which may not have ended yet."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Paint in a thread of its own; returns at once."""
        threading.Thread(target=self.run, name=f"series-{self.id}", daemon=True).start()

    def run(self, tell: Callable[[SeriesReport], None] | None = None) -> SeriesReport:
        """Paint all items and return the final report; it raises for no item's fault.

        tell: called with every new report, in this thread.
        """
        self._tell = tell
        try:
            for index, item in enumerate(self._plan.items):
                if self._stopped.is_set():
                    self._note(index, state=ItemState.CANCELLED)
                else:
                    self._paint(index, item)
            self._make_sheet()
        finally:
            # Whoever waits for the end must see it, whatever goes wrong.
            self._replace(ended=True, cancelled=self._stopped.is_set())
        return self._report

    def cancel(self) -> None:
        """Stop what is being painted, and paint no more; returns at once."""
        with self._lock:
            self._stopped.set()
            job = self._job
        if job is not None:
            self._painter.cancel(job)

    def _paint(self, index: int, item: Item) -> None:
        """Take an item through its steps, and note how it ended."""
        picture: Picture | None = None
        with _noting(lambda error: self._fail(index, error)):
            for step, request in enumerate(item.steps, 1):
                self._note(index, state=ItemState.RUNNING, step=step, progress=None)
                if picture is not None:
                    request = _continued(request, picture.path)
                picture = self._one(index, request, self._output(item, step))
                self._note(index, picture=picture)
            self._note(index, state=ItemState.DONE, progress=None)

    def _one(self, index: int, request: Request, output: Output | None) -> Picture:
        """Have one request painted; return its first picture or raise its error."""
        job = self._accepted(request, output)
        for event in self._painter.events(job):
            match event:
                case Progress():
                    self._note(index, progress=event)
                case Done(result=result):
                    return result.pictures[0]
                case Failed(error=error):
                    raise from_report(error)
                case JobEvent():
                    pass
        raise Cancelled("The job was cancelled.")

    def _accepted(self, request: Request, output: Output | None) -> str:
        """Hand a request in, once there is room for it; raise an error of the tree."""
        while True:
            with self._lock:
                if self._stopped.is_set():
                    raise Cancelled("The series was cancelled.")
                try:
                    self._job = self._submit(request, output)
                except QueueFull:
                    self._job = None
                else:
                    return self._job
            self._stopped.wait(_FULL_PAUSE)

    def _output(self, item: Item, step: int) -> Output | None:
        """Return where the picture of a step goes."""
        output = item.output
        if output is None or step == len(item.steps):
            return output
        folder = output.folder / STEPS_FOLDER
        make_folder(folder)
        if output.name is None:
            return Output(folder=folder)
        name = Path(output.name)
        return Output(folder=folder, name=f"{name.stem}-{step}{name.suffix}")

    def _make_sheet(self) -> None:
        """Write the sheet of what there is, if one is wanted and anything was painted."""
        # Pillow is not there yet when the installer imports the engine.
        from engine.images.contact import save_sheet

        plan, done = self._plan.sheet, self._report.count(ItemState.DONE)
        if plan is None or not done:
            return
        path = plan.folder / (plan.name or picture_name(datetime.now().astimezone(), "-sheet.png"))
        items = self._report.items
        cells = tuple(_cell(item, named=plan.labels) for item in items)
        sides = (max(one.picture.width, one.picture.height) for one in items if one.picture)
        with _noting(lambda error: self._replace(sheet_error=error)):
            make_folder(plan.folder)
            save_sheet(plan.sheet(cells, max(sides)), path)
            self._replace(sheet=path)

    def _fail(self, index: int, error: ErrorReport) -> None:
        cancelled = error.code == Cancelled.code
        state = ItemState.CANCELLED if cancelled else ItemState.FAILED
        self._note(index, state=state, progress=None, error=None if cancelled else error)

    def _note(self, index: int, **changes: object) -> None:
        """Replace values in the report of an item."""
        items = list(self._report.items)
        items[index] = replace(items[index], **changes)  # type: ignore[arg-type]
        self._replace(items=tuple(items))

    def _replace(self, **changes: object) -> None:
        self._report = replace(self._report, **changes)  # type: ignore[arg-type]
        if self._tell is not None:
            self._tell(self._report)


@contextmanager
def _noting(note: Callable[[ErrorReport], None]) -> Iterator[None]:
    """Note what goes wrong, and go on after it; what nobody foresaw ends the series."""
    try:
        yield
    except StudioError as error:
        note(report(error))
    except Exception as error:
        _log.exception("A series came upon an error that nobody foresaw.")
        note(report(error))
        raise


def _continued(request: Request, picture: Path) -> Request:
    """Return a request with a picture as its first input, in the place of its own."""
    return request.with_values(images=(str(picture), *request.images[1:]))


def _cell(item: ItemReport, *, named: bool) -> Cell:
    picture = item.picture if item.state is ItemState.DONE else None
    return Cell(
        picture=picture.path if picture else None,
        label=item.label if named else "",
        problem=item.error.message if item.error else "",
    )
