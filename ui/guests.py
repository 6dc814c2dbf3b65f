"""The guests of a shared page: who is there, and what they may have painted."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Final

from engine import BadRequest, Cancelled, Done, Engine, Failed, NotFound, Output, QueueFull, Request
from ui import sharing_strings as strings

FOLDER: Final = "guests"
"""Folder inside the output folder: what guests had painted."""
MAX_JOBS: Final = 8
"""Jobs of all guests together that wait or run, so that the owner is never shut out for long."""
MAX_PIXELS: Final = 2048 * 1024
MAX_STEPS: Final = 60
MAX_COUNT: Final = 2


@dataclass(slots=True, eq=False)
class Guests:
    """What the guests of one shared page do, as long as it is shared."""

    engine: Engine
    _visits: set[str] = field(default_factory=set)
    _jobs: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        """How many browser tabs show the page."""
        return len(self._visits)

    def enter(self, visit: str) -> None:
        """Note that a browser tab shows the page."""
        self._visits.add(visit)

    def leave(self, visit: str) -> None:
        """Note that a browser tab was closed."""
        self._visits.discard(visit)

    def check(self, request: Request) -> None:
        """Raise `BadRequest` for more than a guest may ask for, else an error of the tree."""
        # A picture that is changed brings a size of its own, and one side alone leaves the other.
        pixels = math.prod(self.engine.painted_size(request))
        for what, value, most in (
            ("pixels", pixels, MAX_PIXELS),
            ("steps", request.steps or 0, MAX_STEPS),
            ("pictures", request.count, MAX_COUNT),
        ):
            if value > most:
                raise BadRequest(
                    strings.beyond_guests(what, value, most), strings.GUEST_LIMIT_ACTION
                )

    def submit(self, request: Request, session: str) -> str:
        """Accept a request and return its job's id; raise `BadRequest` or `QueueFull`.

        session: whose it is.
        """
        self.check(request)
        with self._lock:
            self._jobs = [job for job in self._jobs if not self._ended(job)]
            if len(self._jobs) >= MAX_JOBS:
                raise QueueFull(
                    strings.guests_waiting(len(self._jobs)), strings.GUESTS_WAITING_ACTION
                )
            folder = self.engine.settings.output_folder / FOLDER
            job = self.engine.submit(request, Output(folder=folder), session=session)
            self._jobs.append(job)
        return job

    def cancel_all(self) -> None:
        """Cancel what waits and runs: nobody is left to see it."""
        with self._lock:
            for job in self._jobs:
                self.engine.cancel(job)

    def _ended(self, job: str) -> bool:
        try:
            told = self.engine.poll(job, 0, 0.0)
        except NotFound:
            return True
        return bool(told) and isinstance(told[-1], Done | Failed | Cancelled)
