"""From what a job tells to what the page shows."""

from __future__ import annotations

import asyncio
import threading
from functools import reduce

import pytest

from engine import (
    Cancelled,
    Failed,
    NotFound,
    NumericalError,
    Progress,
    Queued,
    Request,
    Stage,
    Started,
    Warned,
)
from engine.errors import report
from ui import history_strings, strings
from ui.events import JobView, follow, watch

REQUEST = Request(prompt="a red heart", steps=5)


def view_of(*events) -> JobView:
    return reduce(follow, events, JobView())


async def collected(engine, job) -> list[JobView]:
    return [view async for view in watch(engine, job)]


def test_a_waiting_job_shows_its_place_until_it_starts():
    assert view_of(Queued(job="a", position=2)).position == 2
    assert view_of(Queued(job="a", position=0), Started(job="a")).position is None


def test_the_last_preview_stays_until_there_is_a_newer_one():
    first = Progress(job="a", stage=Stage.DENOISING, step=1, total=2, preview=b"1")
    second = Progress(job="a", stage=Stage.DECODING)
    assert view_of(first, second).preview == b"1"
    assert view_of(first, second).progress == second


def test_every_warning_is_kept():
    warned = [Warned(job="a", message=text) for text in ("one", "two")]
    assert view_of(*warned).warnings == ("one", "two")


@pytest.mark.parametrize(
    "event", [Cancelled(job="a"), Failed(job="a", error=report(NumericalError("no")))]
)
def test_a_terminal_event_ends_the_view(event):
    assert not view_of(Started(job="a")).ended
    assert view_of(event).ended


def test_a_watcher_sees_a_job_through_to_its_pictures(engine):
    views = asyncio.run(collected(engine, engine.submit(REQUEST)))
    assert [view.ended for view in views[:-1]] == [False] * (len(views) - 1)
    assert views[-1].result.pictures[0].path.exists()


def test_a_watcher_that_comes_late_sees_the_end(engine):
    job = engine.submit(REQUEST)
    list(engine.events(job))
    (view,) = asyncio.run(collected(engine, job))
    assert view.result is not None


def test_a_watcher_that_leaves_does_not_stop_the_job(engine):
    async def glance() -> None:
        watcher = watch(engine, job)
        await anext(watcher)
        await watcher.aclose()

    engine.go_on.clear()
    job = engine.submit(REQUEST)
    asyncio.run(glance())
    engine.go_on.set()
    assert asyncio.run(collected(engine, job))[-1].result is not None


def test_thirty_watchers_hold_no_thread(engine):
    async def crowd() -> int:
        watchers = [asyncio.create_task(collected(engine, job)) for _ in range(30)]
        await asyncio.sleep(0.1)
        count = threading.active_count()
        engine.go_on.set()
        await asyncio.gather(*watchers)
        return count

    engine.go_on.clear()
    before = threading.active_count()
    job = engine.submit(REQUEST)
    # The engine starts a thread or two of its own; thirty watchers would show.
    assert asyncio.run(crowd()) < before + 10


def test_a_job_that_is_long_gone_is_said_to_be(engine):
    with pytest.raises(NotFound):
        asyncio.run(collected(engine, "never"))


def test_a_job_that_waits_is_told_the_same_place_beside_the_picture_and_in_the_queue():
    view = view_of(Queued(job="a", position=3))
    assert strings.in_line(view.position) == "Waiting; 4 before it"
    assert history_strings.place(view.position + 1) == "4 to go"
