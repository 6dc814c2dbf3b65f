"""The queue as the page shows it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

from engine.errors import NotFound
from engine.events import Progress
from engine.journal.jobs import JobState
from engine.request import Request
from engine.service.history import History
from engine.service.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job that has not ended. progress: of the one that runs, how far it is; None before.

    restored: it was accepted before the program was started.
    """

    id: str
    state: JobState
    session: str
    request: Request
    progress: Progress | None = None
    restored: bool = False


class Queue:
    """Shows the jobs that run, wait, or were stopped, and moves them.

    session: whose jobs, None = everybody's; what is another's is not found.
    """

    def __init__(
        self, workshop: Workshop, history: History | None, restored: Collection[str] = ()
    ) -> None:
        self._workshop = workshop
        self._history = history
        self._restored = restored

    def jobs(self, session: str | None = None) -> tuple[QueuedJob, ...]:
        """Return the job that runs, those that wait, and those that wait for the user."""
        running, orders, progress = self._workshop.queue()
        found = [
            QueuedJob(
                id=order.job,
                state=JobState.RUNNING if order.job == running else JobState.WAITING,
                session=order.session,
                request=order.request,
                progress=progress if order.job == running else None,
                restored=order.job in self._restored,
            )
            for order in orders
        ]
        return tuple(job for job in (*found, *self._stopped()) if session in {None, job.session})

    def move(self, job: str, place: int, session: str | None = None) -> None:
        """Put a waiting job at a place of the queue, 0 = next; raise `NotFound` or `DiskError`."""
        self.job(job, session)
        jobs = self._workshop.move(job, place)
        if self._history is not None:
            self._history.jobs.arrange(jobs)

    def cancel(self, job: str, session: str | None = None) -> None:
        """End a job, whatever its state; raise `NotFound`."""
        found = self.job(job, session)
        if found.state is JobState.STOPPED and self._history is not None:
            self._history.jobs.end(job, JobState.CANCELLED)
        else:
            self._workshop.cancel(job)

    def resume(self, job: str, session: str | None = None) -> None:
        """Let a job that was stopped wait with the others; raise `NotFound` or `QueueFull`."""
        self.job(job, session)
        self._workshop.check_room()
        # Asked of the journal alone: two clicks at once must not paint the job twice.
        if self._history is None or not self._history.jobs.resume(job):
            raise NotFound(f"The job {job!r:.40} was not stopped.", "Look at the queue again.")
        with ExitStack() as undo:
            undo.callback(self._history.jobs.end, job, JobState.STOPPED)
            self._workshop.accept(self._history.jobs.order(job, session))
            undo.pop_all()

    def job(self, job: str, session: str | None = None) -> QueuedJob:
        """Return a job by its id; raise `NotFound`."""
        for found in self.jobs(session):
            if found.id == job:
                return found
        raise NotFound(f"The job {job!r:.40} is not in the queue.", "It may have ended.")

    def _stopped(self) -> tuple[QueuedJob, ...]:
        rows = () if self._history is None else self._history.jobs.stopped()
        return tuple(
            QueuedJob(
                id=row.id,
                state=row.state,
                session=row.order.session,
                request=row.order.request,
                restored=True,
            )
            for row in rows
            if row.order is not None
        )
