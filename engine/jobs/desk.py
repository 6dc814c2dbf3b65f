"""The desk: which job waits, which runs, and what each has told; no thread and no clock in it.

Every accepted job ends in exactly one terminal event, whatever happens in whatever order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from engine.errors import ErrorReport, NotFound, QueueFull
from engine.events import TERMINAL, Cancelled, Failed, JobEvent, Progress, Queued, Started
from engine.jobs.order import Order

MAX_WAITING = 32
KEPT_JOBS = 256
"""Ended jobs whose events can still be read."""


@dataclass(slots=True)
class _Story:
    """What one job has told so far."""

    events: list[JobEvent] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], TERMINAL)


class Desk:
    """Keeps the queue and the events of all jobs; heard: told when a job begins and ends."""

    def __init__(self, heard: Callable[[JobEvent], None] = lambda _: None) -> None:
        self._heard = heard
        self._stories: dict[str, _Story] = {}
        self._waiting: deque[Order] = deque()
        self._running: Order | None = None
        self._ended: deque[str] = deque()

    @property
    def running(self) -> str | None:
        """Id of the job that the painting process has."""
        return self._running.job if self._running else None

    @property
    def waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that have not ended: the one that is carried out, then those that wait."""
        return (*([self._running] if self._running else []), *self._waiting)

    def accept(self, order: Order) -> None:
        """Put an order into the queue; raise `QueueFull`."""
        self.check_room()
        self.restore([order])

    def check_room(self) -> None:
        """Raise `QueueFull` where no more orders fit."""
        if len(self._waiting) >= MAX_WAITING:
            raise QueueFull(
                f"{len(self._waiting)} jobs wait already, and no more fit.",
                "Wait until one is done, or cancel one.",
            )

    def restore(self, orders: Iterable[Order]) -> None:
        """Put orders into the queue that were accepted before, however many they are."""
        for order in orders:
            self._waiting.append(order)
            self._stories[order.job] = _Story()
        self._tell_positions()

    def move(self, job: str, place: int) -> bool:
        """Put a waiting job at a place of the queue, 0 = next; return whether it waited."""
        found = next((order for order in self._waiting if order.job == job), None)
        if found is None:
            return False
        self._waiting.remove(found)
        self._waiting.insert(max(place, 0), found)
        self._tell_positions()
        return True

    def progress(self) -> Progress | None:
        """Return what the running job told last of how far it is."""
        told = self._stories[self._running.job].events if self._running else []
        return next((event for event in reversed(told) if isinstance(event, Progress)), None)

    def take(self) -> Order | None:
        """Hand out the next order; None while one runs or none waits."""
        if self._running is not None or not self._waiting:
            return None
        self._running = self._waiting.popleft()
        self._tell_positions()
        return self._running

    def record(self, event: JobEvent) -> None:
        """Note what the running job tells; what others tell came too late and is dropped."""
        if event.job == self.running:
            self._add(event)

    def cancel(self, job: str) -> bool:
        """End a waiting job; return whether it waited."""
        if job not in {order.job for order in self._waiting}:
            return False
        self._waiting = deque(order for order in self._waiting if order.job != job)
        self._add(Cancelled(job=job))
        self._tell_positions()
        return True

    def fail_running(self, error: ErrorReport) -> None:
        """End the job that the painting process had, if any, with an error."""
        if self._running is not None:
            self._add(Failed(job=self._running.job, error=error))

    def close(self) -> None:
        """End every job that has not ended: they are cancelled."""
        for order in list(self._waiting):
            self.cancel(order.job)
        if self._running is not None:
            self._add(Cancelled(job=self._running.job))

    def events(self, job: str, seen: int) -> tuple[list[JobEvent], bool]:
        """Return the events of a job after the first `seen`, and whether it has ended.

        Raise `NotFound` for a job that never was or is long gone.
        """
        story = self._stories.get(job)
        if story is None:
            raise NotFound(f"There is no job {job!r:.40}.", "It may have ended long ago.")
        return story.events[seen:], story.ended

    def _add(self, event: JobEvent) -> None:
        story = self._stories[event.job]
        if isinstance(event, Progress) and event.preview is not None:
            # One preview a job is enough to keep: a long job has thousands.
            story.events[:] = [_without_preview(earlier) for earlier in story.events]
        if isinstance(event, (Started, *TERMINAL)):
            # Before anybody can read of it: what is told has been written down.
            self._heard(event)
        story.events.append(event)
        if isinstance(event, TERMINAL):
            self._end(event.job)

    def _end(self, job: str) -> None:
        if job == self.running:
            self._running = None
        self._ended.append(job)
        if len(self._ended) > KEPT_JOBS:
            del self._stories[self._ended.popleft()]

    def _tell_positions(self) -> None:
        for position, order in enumerate(self._waiting):
            queued = Queued(job=order.job, position=position)
            events = self._stories[order.job].events
            if not events or events[-1] != queued:
                events.append(queued)


def _without_preview(event: JobEvent) -> JobEvent:
    return replace(event, preview=None) if isinstance(event, Progress) else event
