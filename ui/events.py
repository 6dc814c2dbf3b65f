"""What a job tells, turned into what the page shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import reduce

from engine import (
    Cancelled,
    Done,
    Engine,
    ErrorReport,
    Failed,
    JobEvent,
    Progress,
    Queued,
    Result,
    Started,
    Warned,
)

PACE_SECONDS = 0.3
"""Between two looks at a job: three pictures a second are as many as a slow line carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All that the page shows of one job.

    position: jobs that wait before it, None once it runs. preview: a small JPEG.
    """

    position: int | None = None
    progress: Progress | None = None
    preview: bytes | None = None
    warnings: tuple[str, ...] = ()
    result: Result | None = None
    error: ErrorReport | None = None
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        """Say whether nothing more will come."""
        return self.cancelled or self.result is not None or self.error is not None


def follow(view: JobView, event: JobEvent) -> JobView:
    """Return the view after one more event."""
    match event:
        case Queued(position=position):
            return replace(view, position=position)
        case Started():
            return replace(view, position=None)
        case Progress(preview=preview):
            return replace(view, position=None, progress=event, preview=preview or view.preview)
        case Warned(message=message):
            return replace(view, warnings=(*view.warnings, message))
        case Done(result=result):
            return replace(view, result=result)
        case Failed(error=error):
            return replace(view, error=error)
        case Cancelled():
            return replace(view, cancelled=True)
        case _:
            return view


async def watch(engine: Engine, job: str) -> AsyncIterator[JobView]:
    """Yield the view of a job whenever it changed, until it has ended.

    Looks without waiting inside the engine, so that a watcher holds no thread; whoever stops
    watching leaves the job alone. Raise `NotFound` for a job that is long gone.
    """
    view, seen = JobView(), 0
    while True:
        found = engine.poll(job, seen, 0.0)
        seen += len(found)
        if found:
            view = reduce(follow, found, view)
            yield view
        if view.ended:
            return
        await asyncio.sleep(PACE_SECONDS)
