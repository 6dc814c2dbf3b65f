"""The jobs in the journal: what was accepted, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.errors import BadRequest, NotFound
from engine.jobs import wire
from engine.jobs.order import Order
from engine.journal.store import Store

MAX_ATTEMPTS: Final = 3
"""How often a job may die with the program before it waits for the user."""
_LOOKED_THROUGH: Final = 500


class JobState(StrEnum):
    """How far a job is. STOPPED: it died with the program too often, and waits for the user."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNENDED: Final = (JobState.RUNNING, JobState.WAITING, JobState.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as it was written down. created: seconds since 1970, when it was accepted.

    order: None where it cannot be read any more.
    """

    id: str
    state: JobState
    attempts: int
    created: float
    order: Order | None


class JobLog:
    """Writes down what happens to jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, order: Order) -> None:
        """Write down an order, last in the queue, before anybody is told that it is accepted."""
        row = (order.job, order.session, time.time(), order.request.prompt, wire.encode(order))
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO jobs(id, session, state, place, attempts, created, prompt, line)"
                " SELECT ?, ?, 'waiting', coalesce(max(place), 0) + 1, 0, ?, ?, ? FROM jobs"
                " WHERE state IN ('waiting', 'running', 'stopped')",
                row,
            )

    def forget(self, job: str) -> None:
        """Strike out a job that was not accepted after all."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def begin(self, job: str) -> None:
        """Note that a job runs."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE id = ?", (job,)
            )

    def end(self, job: str, state: JobState) -> None:
        """Note how a job ended, or that it waits again; what has ended stays so.

        Of a job that is done the pictures tell how it was made, so its order is dropped.
        """
        unended = (job, *UNENDED)
        line = ", line = x''" if state is JobState.DONE else ""
        with self._store.write() as connection:
            connection.execute(
                f"UPDATE jobs SET state = ?{line} WHERE id = ? AND state IN (?, ?, ?)",  # noqa: S608
                (state, *unended),
            )

    def pause(self) -> None:
        """Note that the running job waits again, for the program ends as it should."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'waiting', attempts = attempts - 1 WHERE state = 'running'"
            )

    def resume(self, job: str) -> bool:
        """Note that a job waits again, as if it had never been tried; False: it was not stopped."""
        with self._store.write() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = 'waiting', attempts = 0"
                " WHERE id = ? AND state = 'stopped'",
                (job,),
            )
            return changed.rowcount > 0

    def arrange(self, jobs: Sequence[str]) -> None:
        """Note the order in which jobs wait."""
        with self._store.write() as connection:
            places = [(place, job) for place, job in enumerate(jobs, start=1)]
            connection.executemany("UPDATE jobs SET place = ? WHERE id = ?", places)

    def unended(self) -> tuple[JobRow, ...]:
        """Return the jobs that have not ended, in the order of the queue."""
        return self._in_states(UNENDED)

    def stopped(self) -> tuple[JobRow, ...]:
        """Return the jobs that wait for the user."""
        return self._in_states((JobState.STOPPED,))

    def order(self, job: str, session: str | None) -> Order:
        """Return what was ordered; session: whose job it must be. Raise `NotFound`."""
        for row in self._store.read(
            "SELECT id, state, attempts, created, line FROM jobs"
            " WHERE id = ? AND session = coalesce(?, session)",
            (job, session),
        ):
            found = _row(*row)
            if found.order is not None:
                return found.order
        raise NotFound(f"The job {job!r:.40} is not in the history.", "Look for its picture.")

    def lines_with(self, text: str) -> tuple[str, ...]:
        """Return the orders, as JSON, that hold a text of letters, digits and colons."""
        rows = self._store.read("SELECT line FROM jobs WHERE instr(line, ?)", (text.encode(),))
        return tuple(line.decode() for (line,) in rows)

    def prompts(self, session: str, most: int) -> tuple[str, ...]:
        """Return the last different prompts of a session, the newest first."""
        rows = self._store.read(
            "SELECT prompt FROM jobs WHERE session = ? ORDER BY created DESC LIMIT ?",
            (session, _LOOKED_THROUGH),
        )
        prompts = dict.fromkeys(prompt for (prompt,) in rows if prompt.strip())
        return tuple(prompts)[:most]

    def _in_states(self, states: Sequence[JobState]) -> tuple[JobRow, ...]:
        marks = ", ".join("?" * len(states))
        rows = self._store.read(
            f"SELECT id, state, attempts, created, line FROM jobs WHERE state IN ({marks})"  # noqa: S608
            " ORDER BY state = 'running' DESC, place",
            states,
        )
        return tuple(_row(*values) for values in rows)


def _row(job: str, state: str, attempts: int, created: float, line: bytes) -> JobRow:
    order = _order(line)
    return JobRow(id=job, state=JobState(state), attempts=attempts, created=created, order=order)


def _order(line: bytes) -> Order | None:
    """Read an order; None for one that another version of the program wrote differently."""
    try:
        found = wire.decode(line)
    except (ValueError, TypeError, KeyError, BadRequest):
        return None
    return found if isinstance(found, Order) else None
