"""What becomes, at the start, of the jobs that had not ended when the program did."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.errors import DiskError, StudioError, UserError
from engine.events import Done, Picture, Result
from engine.images.metadata import make_recipe, read_recipe
from engine.jobs.order import Order
from engine.journal.jobs import MAX_ATTEMPTS, JobRow, JobState
from engine.service.history import History

_log = logging.getLogger(__name__)


def recover(history: History) -> tuple[Order, ...]:
    """Return the orders to carry out, in the order of the queue.

    A job whose pictures all lie in place was done, whatever the journal says, and is not painted
    twice. One that died with the program too often waits for the user; one that the disk does not
    let us write down anew, for the next start.
    """
    orders = list[Order]()
    try:
        rows = history.jobs.unended()
    except DiskError as error:
        _log.error("What waited is left for the next start: %s", error)
        return ()
    for row in rows:
        try:
            orders.extend(_recovered(row, history))
        except DiskError as error:
            _log.error("The job %s is left for the next start: %s", row.id, error)
    return tuple(orders)


def _recovered(row: JobRow, history: History) -> Iterator[Order]:
    if row.order is None:
        _log.error("The job %s was written by another version and is given up.", row.id)
        history.jobs.end(row.id, JobState.FAILED)
        return
    pictures = _finished(row.order, row.created)
    if pictures:
        history.keep(row.order, Done(job=row.id, result=_result(pictures)))
    elif row.state is JobState.RUNNING and row.attempts >= MAX_ATTEMPTS:
        _log.error("The job %s died with the program %d times and waits.", row.id, row.attempts)
        history.jobs.end(row.id, JobState.STOPPED)
    elif row.state is not JobState.STOPPED:
        history.jobs.end(row.id, JobState.WAITING)
        yield row.order


def _finished(order: Order, created: float) -> tuple[Picture, ...]:
    """Return the pictures of an order, if every one was saved in its place since then."""
    names = order.output.file_names(order.request.count) or ()
    paths = [order.output.folder.absolute() / name for name in names]
    try:
        # A name of the user's own may have been there before; some disks round to two seconds.
        if not all(path.stat().st_mtime > created - 2 for path in paths):
            return ()
        return tuple(_picture(path, order, index) for index, path in enumerate(paths))
    except (OSError, UserError):
        # Not there, or nothing that this program saved.
        return ()


def _picture(path: Path, order: Order, index: int) -> Picture:
    # Pillow is not there yet when the installer imports the engine.
    from engine.images.open import open_picture

    # All of it is decoded: a file that is cut short, which its header does not show, is no picture.
    width, height = open_picture(path).size
    return Picture(path=path, recipe=_recipe(path, order, index), width=width, height=height)


def _recipe(path: Path, order: Order, index: int) -> dict[str, object]:
    """Return the recipe in a picture; where it has none, what the order tells."""
    with suppress(StudioError):
        return read_recipe(path)
    own = order.request.with_values(seed=(order.request.seed or 0) + index, count=1)
    return make_recipe(own, model_hash="", precision=own.precision, plan="", warnings=())


def _result(pictures: tuple[Picture, ...]) -> Result:
    return Result(pictures=pictures, seconds={}, nfe=0, precision="", plan="", peak_memory=0.0)
