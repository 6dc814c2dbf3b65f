"""The painting process, with its messages in plain lists."""

from __future__ import annotations

import io
import queue
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine import errors, events, worker
from engine.hardware import Rates
from engine.jobs import wire
from engine.jobs.order import (
    CancelOrder,
    MeasureOrder,
    Order,
    Output,
    TuneOrder,
    WorkerBroken,
    WorkerState,
)
from engine.request import Request
from engine.worker import Painter, serve
from tests.engine.fakes import STATE, TUNING, Script, result, tune


def order(prompt: str, job: str = "job") -> Order:
    return Order(job=job, request=Request(prompt=prompt), output=Output(folder=None))


def told(*orders: object, make=None) -> list[object]:
    """What a worker tells about messages that all lie in its inbox at once."""
    sent: list[object] = []
    serve(iter(orders), sent.append, make or Script().painter)
    return sent


def endings(sent: list[object]) -> list[object]:
    return [message for message in sent if isinstance(message, events.TERMINAL)]


def test_a_worker_says_that_it_is_ready_before_anything_else():
    assert told() == [STATE]


def test_a_job_tells_its_start_its_progress_and_its_end():
    kinds = [type(message) for message in told(order("steps 0"))]
    assert kinds == [WorkerState, events.Started, events.Done, WorkerState]


def test_progress_and_warnings_carry_the_job_they_belong_to():
    script = Script()
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    sent: list[object] = []
    done = threading.Event()

    def note(message: object) -> None:
        sent.append(message)
        if isinstance(message, events.Done) and message.job == "b":
            done.set()

    thread = threading.Thread(target=serve, args=(iter(inbox.get, None), note, script.painter))
    thread.start()
    inbox.put(order("steps 2", "a"))
    inbox.put(order("warn careful", "b"))
    assert done.wait(10)
    inbox.put(None)
    thread.join(10)
    steps = [m for m in sent if isinstance(m, events.Progress)]
    assert [(m.job, m.step) for m in steps] == [("a", 0), ("a", 1)]
    assert events.Warned(job="b", message="careful") in sent


@pytest.mark.parametrize(
    ("prompt", "code", "says"),
    [
        ("fail", "numerical", "No picture."),
        ("bug", "bug", "Unexpected ZeroDivisionError: oops."),
        ("exit 3", "bug", "Unexpected SystemExit: 3."),
    ],
)
def test_whatever_a_job_raises_becomes_its_failure(prompt, code, says):
    (ending,) = endings(told(order(prompt)))
    assert (ending.error.code, ending.error.message) == (code, says)


def test_a_job_after_a_failed_one_is_painted():
    sent = told(order("bug", "a"), order("steps 0", "b"))
    assert [type(ending) for ending in endings(sent)] == [events.Failed, events.Done]


def test_a_cancelled_job_ends_so():
    (ending,) = endings(told(order("hold"), CancelOrder(job="job")))
    assert ending == events.Cancelled(job="job")


def test_the_end_of_the_inbox_stops_the_last_job():
    (ending,) = endings(told(order("hold")))
    assert ending == events.Cancelled(job="job")


@pytest.mark.parametrize("wrong", [float("nan"), object()])
def test_an_ending_that_cannot_be_sent_still_ends_the_job(wrong):
    odd = replace(result(), seconds={"total": wrong})
    ending, state = sent_by(replace(Script().painter(), paint=lambda *_: odd), order("x"))[-2:]
    assert (type(ending), ending.error.code, state) == (events.Failed, "bug", STATE)


NO_RATE = replace(STATE, rates=Rates(operations={"fp32": float("inf")}))


def sent_by(made: Painter, *orders: object) -> list[object]:
    """What arrives of what a worker tells."""
    arrived: list[object] = []

    def send(message: object) -> None:
        wire.encode(message)
        arrived.append(message)

    serve(iter(orders), send, lambda: made)
    return arrived


def test_a_worker_whose_machine_cannot_be_told_says_why():
    (broken,) = sent_by(replace(Script().painter(), state=lambda: NO_RATE))
    assert isinstance(broken, WorkerBroken)
    assert broken.error.code == "bug"


def test_ways_that_cannot_be_told_are_a_failure_to_find_them():
    slow = replace(TUNING, seconds=float("nan"))
    painter = replace(Script().painter(), tune=lambda *_: slow)
    state, tuned = sent_by(painter, TuneOrder(data_dir=Path("x")))
    assert (state, tuned.tuning, tuned.error.code) == (STATE, None, "bug")


def test_a_machine_that_cannot_be_told_any_more_is_logged_and_goes_on_painting(caplog):
    states = iter([STATE, NO_RATE, NO_RATE, STATE])
    painter = replace(Script().painter(), state=lambda: next(states))
    sent = sent_by(painter, MeasureOrder(data_dir=Path("x")), order("x", "a"), order("x", "b"))
    assert [m.job for m in endings(sent)] == ["a", "b"]
    assert [m for m in sent if isinstance(m, WorkerState)] == [STATE, STATE]
    assert caplog.text.count("machine could not be described") == 2


def test_a_worker_that_lost_its_card_asks_to_be_replaced_before_it_ends_the_job():
    broken, ending = told(order("lost"))[-2:]
    assert isinstance(ending, events.Failed)
    assert broken == WorkerBroken(error=ending.error)


def test_a_worker_that_cannot_begin_says_why():
    def broken() -> Painter:
        raise ImportError("no torch")

    (message,) = told(make=broken)
    assert message.error.message == "Unexpected ImportError: no torch."


def without_machine(script: Script, answers: int) -> Painter:
    """A painter whose machine answers only so often."""
    left = [STATE] * answers

    def state() -> WorkerState:
        if not left:
            raise RuntimeError("no such card")
        return left.pop()

    return Painter(paint=script.paint, state=state, tune=tune)


def test_a_machine_that_cannot_be_described_is_no_worker():
    (message,) = told(make=lambda: without_machine(Script(), 0))
    assert message.error.message == "Unexpected RuntimeError: no such card."


@pytest.mark.parametrize(("prompt", "kind"), [("steps 0", events.Done), ("fail", events.Failed)])
def test_a_job_ends_though_its_machine_can_no_longer_be_described(prompt, kind):
    *_, broken, ending = told(order(prompt), make=lambda: without_machine(Script(), 1))
    assert broken.error.message == "Unexpected RuntimeError: no such card."
    assert isinstance(ending, kind)


def test_a_faulty_message_stops_the_last_job():
    def inbox():
        yield order("hold")
        raise ValueError("no JSON")

    sent: list[object] = []
    with pytest.raises(ValueError, match="no JSON"):
        serve(inbox(), sent.append, Script().painter)
    assert endings(sent) == [events.Cancelled(job="job")]


def test_a_line_that_its_sender_could_not_finish_ends_the_worker(monkeypatch):
    timers = []

    class Timer:
        daemon = False

        def __init__(self, *arguments: object) -> None:
            self.arguments = arguments

        def start(self) -> None:
            timers.append(self.arguments)

    monkeypatch.setattr(worker.threading, "Timer", Timer)
    whole = wire.encode(CancelOrder(job="a"))
    assert list(worker._messages(io.BytesIO(whole + whole[:20]))) == [CancelOrder(job="a")]
    assert timers == [(worker.PATIENCE_SECONDS, worker.os._exit, (1,))]


def test_the_machine_is_described_as_the_last_job_used_it(ask, tmp_path, monkeypatch):
    from engine.hardware import Card, Hardware
    from engine.memory import probe

    card = Card(name="", capability=(8, 0), total_bytes=0, free_bytes=0)
    monkeypatch.setattr(probe, "hardware", lambda: Hardware(cards=(card,)))
    monkeypatch.setattr(probe, "describe", lambda device: WorkerState(device=device, memory=""))
    monkeypatch.setattr(probe, "card_now", lambda device, _: card if device == "cuda" else None)
    asked = ask(device="cpu", steps=1)
    job = Order(job="a", request=asked, output=Output(folder=tmp_path), data_dir=tmp_path)
    states = [m for m in told(job, make=worker.real_painter) if isinstance(m, WorkerState)]
    assert [(state.device, state.name) for state in states] == [("cuda", "cuda"), ("cpu", "cpu")]
    assert [state.card for state in states] == [card, None]
    assert states[1].host.total_bytes > 0


def test_a_failure_pins_nothing_of_the_job():
    import gc
    import weakref

    class Tensor:
        pass

    alive = []

    def paint(_order: Order, _hooks: object) -> events.Result:
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        try:
            raise ValueError("first")
        except ValueError as error:
            raise errors.OutOfMemory("Too large.") from error

    seen = []

    def note(message: object) -> None:
        if isinstance(message, events.TERMINAL):
            seen.append(message)

    gc.disable()
    try:
        painter = Painter(paint=paint, state=lambda: STATE, tune=tune)
        serve(iter([order("x")]), note, lambda: painter)
        assert [type(m) for m in seen] == [events.Failed]
        assert alive[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("fault", [None, errors.OutOfMemory("Too little.")])
def test_a_machine_is_measured_when_asked_and_a_failure_harms_nothing(fault, tmp_path):
    measured = []

    def measure(folder):
        if fault is not None:
            raise fault
        measured.append(folder)

    sent = []
    painter = Painter(paint=Script().paint, state=lambda: STATE, tune=tune, measure=measure)
    orders = [MeasureOrder(data_dir=tmp_path), order("x")]
    serve(iter(orders), sent.append, lambda: painter)
    assert measured == ([tmp_path] if fault is None else [])
    assert [m for m in sent if isinstance(m, WorkerState)] == [STATE] * (3 if fault is None else 2)
    assert any(isinstance(m, events.Done) for m in sent)
