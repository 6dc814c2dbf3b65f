"""The history as the page sees it: pictures that were made, earlier prompts, and the trash."""

from __future__ import annotations

import logging
import os
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, DiskError, NotFound, StudioError
from engine.events import Cancelled, Done, Failed, JobEvent, Started
from engine.inputs import PREFIX
from engine.jobs.order import Order
from engine.journal.jobs import JobLog, JobState
from engine.journal.pictures import MAX_SHOWN, Album, PastPicture, Search
from engine.journal.store import Store
from engine.service.stores import TRASH
from engine.storage import link_or_copy, make_folder, remove_file

MAX_PROMPTS: Final = 100

_INPUT = re.compile(f"{PREFIX}[0-9a-f]{{64}}")
_log = logging.getLogger(__name__)


class History:
    """Writes down what happens, and finds it again.

    session: whose pictures and jobs, None = everybody's; what is another's is not found.
    """

    def __init__(self, store: Store, data_dir: Path) -> None:
        self.jobs = JobLog(store)
        self._album = Album(store)
        self._store = store
        self._data_dir = data_dir

    def heed(self, event: JobEvent) -> None:
        """Write down that a job began or ended; a disk that fails costs the line, not the job."""
        try:
            self._heed(event)
        except StudioError as error:
            _log.error("The history misses the job %s: %s", event.job, error)

    def keep(self, order: Order, done: Done) -> None:
        """Write down a job that is done, with its pictures."""
        seconds = done.result.seconds.get("total", 0.0)
        self._album.add(done.result.pictures, order.session, seconds)
        self.jobs.end(order.job, JobState.DONE)

    def find(self, search: Search) -> tuple[PastPicture, ...]:
        """Return the pictures that a search is for, the newest first; raise `DiskError`."""
        return self._album.find(search)

    def picture(self, number: int, session: str | None = None) -> PastPicture:
        """Return one picture by its id; raise `NotFound`."""
        return self._album.picture(number, session)

    def names(self, session: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the models and the adapters that pictures were made with."""
        return self._album.names(session)

    def prompts(self, session: str) -> tuple[str, ...]:
        """Return the last 100 different prompts of a session, the newest first."""
        return self.jobs.prompts(session, MAX_PROMPTS)

    def thumbnail(self, picture: PastPicture, *, make: bool = True) -> bytes | None:
        """Return a picture as a JPEG of at most 256 pixels a side, None where its file is gone.

        make: may take a while; without it, None also for one that was not made yet.
        """
        # Pillow is not there yet when the installer imports the engine.
        from engine.images.thumbnails import Thumbnails

        thumbnails = Thumbnails(self._data_dir)
        return thumbnails.made(picture.file) if make else thumbnails.kept(picture.file)

    def favour(self, number: int, session: str | None = None, *, favourite: bool = True) -> None:
        """Mark a picture as a favourite, or take the mark away; raise `NotFound`."""
        self._album.favour(self.picture(number, session).id, favourite=favourite)

    def throw_away(self, number: int, session: str | None = None) -> None:
        """Move a picture into the trash; what has no file any more is struck out.

        Raise `NotFound` or `DiskError`.
        """
        picture = self.picture(number, session)
        if picture.trash is not None:
            return
        if not picture.path.is_file():
            self._album.drop(picture.id)
            return
        place = self._data_dir / TRASH / f"{picture.id}-{picture.path.name}"
        make_folder(place.parent)
        link_or_copy(picture.path, place)
        # A kill between these leaves the picture twice, never nowhere.
        self._album.throw(picture.id, place)
        remove_file(picture.path)

    def take_back(self, number: int, session: str | None = None) -> None:
        """Move a picture from the trash to where it was; raise `NotFound`, or `BadRequest`.

        The latter where a file of its name is there by now; `DiskError` for the disk.
        """
        picture = self.picture(number, session)
        if picture.trash is None:
            return
        if not picture.trash.is_file():
            raise NotFound(f"{picture.path.name} is not in the trash any more.", "Paint it again.")
        if picture.path.exists():
            raise BadRequest(
                f"{picture.path} is there again.", "Move or rename that file, then try again."
            )
        make_folder(picture.path.parent)
        link_or_copy(picture.trash, picture.path)
        self._album.throw(picture.id, None)
        remove_file(picture.trash)

    def empty_trash(self, session: str | None = None) -> int:
        """Delete what is in the trash for good; return how many pictures; raise `DiskError`."""
        count = 0
        search = Search(trash=True, session=session, most=MAX_SHOWN)
        while found := self._album.find(search):
            for picture in found:
                remove_file(picture.file)
                self._album.drop(picture.id)
            count += len(found)
        return count

    def moving(self, old: Path, new: Path) -> AbstractContextManager[None]:
        """Note that the pictures in a folder lie in another now, if the block ends well.

        Raise `DiskError`.
        """
        return self._album.move(f"{old}{os.sep}", f"{new}{os.sep}")

    def used_inputs(self) -> frozenset[str]:
        """Return the names of all input pictures that a picture or a job began with."""
        texts = (*self._album.recipes_with(PREFIX), *self.jobs.lines_with(PREFIX))
        return frozenset(name for text in texts for name in _INPUT.findall(text))

    def size(self) -> int:
        """Return how many bytes the history takes on the disk, without pictures."""
        return self._store.size()

    def close(self) -> None:
        """Write no more; may be called twice."""
        try:
            self.jobs.pause()
        except DiskError as error:
            _log.warning("At the next start the running job counts as broken off: %s", error)
        self._store.close()

    def _heed(self, event: JobEvent) -> None:
        match event:
            case Started():
                self.jobs.begin(event.job)
            case Done():
                self.keep(self.jobs.order(event.job, None), event)
            case Failed():
                self.jobs.end(event.job, JobState.FAILED)
            case Cancelled():
                self.jobs.end(event.job, JobState.CANCELLED)
