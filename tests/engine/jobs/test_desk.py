"""The desk: whatever happens in whatever order, each job ends once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine import errors, events
from engine.jobs.desk import KEPT_JOBS, MAX_WAITING, Desk
from engine.jobs.order import Order, Output
from engine.request import Request

LOST = errors.report(errors.WorkerLost("gone"))


def order(job: str) -> Order:
    return Order(job=job, request=Request(prompt="x"), output=Output(folder=Path()))


def progress(job: str, preview: bytes | None = None) -> events.Progress:
    return events.Progress(job=job, stage=events.Stage.DENOISING, preview=preview)


def done(job: str) -> events.Done:
    result = events.Result(
        pictures=(), seconds={}, nfe=1, precision="fp32", plan="", peak_memory=0.0
    )
    return events.Done(job=job, result=result)


def kinds(desk: Desk, job: str) -> list[type]:
    return [type(event) for event in desk.events(job, 0)[0]]


class Walk:
    """Plays a random sequence of everything that can happen to a desk."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.desk = Desk()
        self.accepted: list[str] = []
        self.taken: list[str] = []
        self.moves = (self.submit, self.submit, self.take, self.tell, self.tell, self.end,
                      self.cancel, self.lose)  # fmt: skip

    def some_job(self) -> str:
        return self.rng.choice(self.accepted) if self.accepted else "none"

    def submit(self) -> None:
        job = f"job-{len(self.accepted)}"
        try:
            self.desk.accept(order(job))
        except errors.QueueFull:
            assert self.desk.waiting == MAX_WAITING
        else:
            self.accepted.append(job)

    def take(self) -> None:
        taken = self.desk.take()
        if taken is not None:
            self.taken.append(taken.job)
            self.desk.record(events.Started(job=taken.job))

    def tell(self) -> None:
        self.desk.record(progress(self.some_job()))

    def end(self) -> None:
        job = self.rng.choice([self.some_job(), self.desk.running or "none"])
        failed = events.Failed(job=job, error=LOST)
        self.desk.record(self.rng.choice([done(job), failed, events.Cancelled(job=job)]))

    def cancel(self) -> None:
        self.desk.cancel(self.some_job())

    def lose(self) -> None:
        self.desk.fail_running(LOST)

    def play(self, moves: int) -> None:
        for _ in range(moves):
            self.rng.choice(self.moves)()
        self.desk.close()


@pytest.mark.parametrize("block", range(10))
def test_every_accepted_job_ends_exactly_once(block):
    for seed in range(1000 * block, 1000 * (block + 1)):
        walk = Walk(seed)
        walk.play(moves=25)
        for job in walk.accepted:
            told, ended = walk.desk.events(job, 0)
            terminal = [event for event in told if isinstance(event, events.TERMINAL)]
            assert (ended, len(terminal)) == (True, 1), f"seed {seed}, {job}: {told}"
            assert told[-1] is terminal[0], f"seed {seed}, {job}: {told}"
            assert isinstance(told[0], events.Queued), f"seed {seed}, {job}: {told}"
            assert {event.job for event in told} == {job}, f"seed {seed}, {job}: {told}"
            started = any(isinstance(event, events.Started) for event in told)
            assert started == (job in walk.taken), f"seed {seed}, {job}: {told}"


def test_jobs_are_taken_in_the_order_they_came():
    desk = Desk()
    for job in "abc":
        desk.accept(order(job))
    taken = []
    while (next_order := desk.take()) is not None:
        taken.append(next_order.job)
        desk.record(done(next_order.job))
    assert taken == ["a", "b", "c"]


def test_one_job_runs_at_a_time():
    desk = Desk()
    desk.accept(order("a"))
    desk.accept(order("b"))
    assert desk.take() is not None
    assert desk.take() is None


def test_a_cancelled_job_that_waits_is_never_taken():
    desk = Desk()
    desk.accept(order("a"))
    desk.accept(order("b"))
    assert desk.cancel("a") is True
    assert desk.take().job == "b"
    assert kinds(desk, "a") == [events.Queued, events.Cancelled]


def test_waiting_jobs_hear_how_they_move_up():
    desk = Desk()
    for job in "abc":
        desk.accept(order(job))
    desk.take()
    desk.cancel("b")
    positions = [event.position for event in desk.events("c", 0)[0]]
    assert positions == [2, 1, 0]


def test_a_full_queue_refuses_the_next_job():
    desk = Desk()
    for number in range(MAX_WAITING):
        desk.accept(order(str(number)))
    with pytest.raises(errors.QueueFull, match="32 jobs wait"):
        desk.accept(order("one more"))


def test_events_of_an_ended_job_come_too_late():
    desk = Desk()
    desk.accept(order("a"))
    desk.take()
    desk.record(done("a"))
    desk.record(progress("a"))
    assert kinds(desk, "a") == [events.Queued, events.Done]


def test_only_the_latest_preview_is_kept():
    desk = Desk()
    desk.accept(order("a"))
    desk.take()
    for number in range(3):
        desk.record(progress("a", preview=b"%d" % number))
    previews = [event.preview for event in desk.events("a", 1)[0]]
    assert previews == [None, None, b"2"]


def test_events_of_long_ended_jobs_are_forgotten():
    desk = Desk()
    for number in range(KEPT_JOBS + 1):
        desk.accept(order(str(number)))
        desk.take()
        desk.record(done(str(number)))
    with pytest.raises(errors.NotFound, match="no job '0'"):
        desk.events("0", 0)
    assert desk.events("1", 0)[1] is True


def test_a_waiting_job_can_be_moved_and_every_place_is_told():
    desk = Desk()
    for job in ("a", "b", "c"):
        desk.accept(order(job))
    assert desk.move("c", 0) is True
    assert [one.job for one in desk.orders] == ["c", "a", "b"]
    assert desk.events("c", 0)[0][-1] == events.Queued(job="c", position=0)
    assert desk.events("a", 0)[0][-1] == events.Queued(job="a", position=1)
    assert desk.move("a", 99) is True
    assert desk.move("b", -5) is True
    assert [one.job for one in desk.orders] == ["b", "c", "a"]


def test_what_runs_or_is_not_there_cannot_be_moved():
    desk = Desk()
    desk.accept(order("a"))
    desk.accept(order("b"))
    desk.take()
    assert desk.move("a", 1) is False and desk.move("none", 0) is False
    assert [one.job for one in desk.orders] == ["a", "b"]


def test_restored_orders_wait_however_many_they_are():
    desk = Desk()
    desk.restore(order(str(number)) for number in range(MAX_WAITING + 5))
    assert desk.waiting == MAX_WAITING + 5
    with pytest.raises(errors.QueueFull):
        desk.accept(order("one more"))


def test_who_listens_hears_of_a_beginning_and_an_end_before_anybody_can_read_it():
    heard, seen = [], []

    def hear(event):
        heard.append(event)
        seen.append(event in desk.events(event.job, 0)[0])

    desk = Desk(hear)
    for job in ("a", "b"):
        desk.accept(order(job))
    desk.take()
    told = [
        events.Started(job="a"),
        events.Progress(job="a", stage=events.Stage.LOADING),
        events.Cancelled(job="a"),
    ]
    for event in told:
        desk.record(event)
    desk.cancel("b")
    assert heard == [told[0], told[2], events.Cancelled(job="b")]
    assert seen == [False] * 3


def test_the_progress_is_that_of_the_running_job():
    desk = Desk()
    desk.accept(order("a"))
    assert desk.progress() is None
    desk.take()
    assert desk.progress() is None
    step = events.Progress(job="a", stage=events.Stage.DENOISING, step=3, total=8)
    desk.record(step)
    assert desk.progress() == step
