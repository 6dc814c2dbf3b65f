"""Which browser tab watches which job, so that a reloaded page finds its own again."""

from __future__ import annotations

import secrets
from collections import OrderedDict

from ui.components.ids import MAIN

MAX_VISITORS = 256
MAX_JOBS = 32


def new_secret() -> str:
    """Return an id that nobody guesses."""
    return secrets.token_urlsafe(16)


class Visitors:
    """Remembers the latest jobs of each browser, and who is looking at them now.

    A browser is known by the secret in its local storage, a tab by the id in its session storage
    (which a reload keeps), a visit by Gradio's session hash (which it does not).
    """

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, list[tuple[str, str, str]]] = OrderedDict()
        self._watched: dict[str, set[str]] = {}

    def remember(self, browser: str, tab: str, job: str, place: str = MAIN) -> None:
        """Note that a tab of the browser started a job, and at which place of the page."""
        jobs = self._jobs.setdefault(browser, [])
        jobs.append((tab, job, place))
        del jobs[:-MAX_JOBS]
        self._jobs.move_to_end(browser)
        if len(self._jobs) > MAX_VISITORS:
            self._jobs.popitem(last=False)

    def look_at(self, visit: str, job: str) -> None:
        """Note that a visit watches a job."""
        self._watched.setdefault(visit, set()).add(job)

    def look_away(self, visit: str, job: str) -> None:
        """Note that a visit watches a job no more."""
        jobs = self._watched.get(visit, set())
        jobs.discard(job)
        if not jobs:
            self._watched.pop(visit, None)

    def leave(self, visit: str) -> None:
        """Note that a visit watches nothing any more."""
        self._watched.pop(visit, None)

    def latest(self, browser: str, tab: str, place: str = MAIN) -> str | None:
        """Return the job that this tab started last at a place of the page."""
        jobs = reversed(self._jobs.get(browser, []))
        return next((job for owner, job, where in jobs if (owner, where) == (tab, place)), None)

    def unwatched(self, browser: str, place: str = MAIN) -> tuple[str, ...]:
        """Return this browser's jobs that nobody looks at, the latest first: their tab is gone."""
        seen = set().union(*self._watched.values())
        jobs = reversed(self._jobs.get(browser, []))
        return tuple(job for _, job, where in jobs if where == place and job not in seen)
