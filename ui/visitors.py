"""Which browser tab watches which job, so that a reloaded page finds its own again."""

from __future__ import annotations

import secrets
from collections import OrderedDict

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
        self._jobs: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()
        self._watched: dict[str, str] = {}

    def remember(self, browser: str, tab: str, job: str) -> None:
        """Note that a tab started a job."""
        jobs = self._jobs.setdefault(browser, [])
        jobs.append((tab, job))
        del jobs[:-MAX_JOBS]
        self._jobs.move_to_end(browser)
        if len(self._jobs) > MAX_VISITORS:
            self._jobs.popitem(last=False)

    def look_at(self, visit: str, job: str) -> None:
        """Note that a visit watches a job."""
        self._watched[visit] = job

    def leave(self, visit: str) -> None:
        """Note that a visit watches nothing any more."""
        self._watched.pop(visit, None)

    def latest(self, browser: str, tab: str) -> str | None:
        """Return the job that this tab started last."""
        jobs = reversed(self._jobs.get(browser, []))
        return next((job for owner, job in jobs if owner == tab), None)

    def unwatched(self, browser: str) -> tuple[str, ...]:
        """Return this browser's jobs that nobody looks at, the latest first: their tab is gone."""
        seen = set(self._watched.values())
        return tuple(job for _, job in reversed(self._jobs.get(browser, [])) if job not in seen)
