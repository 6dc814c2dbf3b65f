"""The engine as its users see it, with painters that do what the prompt says."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from engine import Engine, Fit, Profile, Request, Settings, errors, events
from engine.hardware import Host
from engine.jobs.desk import MAX_WAITING
from engine.jobs.order import WorkerBroken
from engine.service.links import ThreadLink
from engine.worker import Painter
from tests.engine.fakes import STATE, TUNING, Script, result, tune


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def engine(script):
    with Engine(hire=script.link) as running:
        yield running
        script.release.set()


def ask(prompt: str) -> Request:
    return Request(prompt=prompt)


def ending(engine: Engine, job: str) -> events.JobEvent:
    return list(engine.events(job))[-1]


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def test_generate_returns_the_result(engine):
    assert engine.generate(ask("steps 2")).nfe == 1


def test_generate_raises_the_error_of_the_tree(engine):
    with pytest.raises(errors.NumericalError, match=r"No picture\. Try again\."):
        engine.generate(ask("fail"))


def test_events_come_in_order_and_end_with_the_terminal_one(engine):
    told = list(engine.events(engine.submit(ask("steps 2"))))
    assert [type(event).__name__ for event in told] == [
        "Queued", "Started", "Progress", "Progress", "Done",
    ]  # fmt: skip


def test_a_late_listener_hears_the_job_from_its_beginning(engine):
    job = engine.submit(ask("steps 3"))
    first = list(engine.events(job))
    assert list(engine.events(job)) == first


def test_poll_returns_what_is_new_and_waits_no_longer_than_asked(engine, script):
    job = engine.submit(ask("hold"))
    wait_for(lambda: script.painted)
    assert isinstance(engine.poll(job, 0, timeout=5)[0], events.Queued)
    began = time.monotonic()
    assert engine.poll(job, 2, timeout=0.05) == []
    assert time.monotonic() - began < 1
    script.release.set()
    (last,) = engine.poll(job, 2, timeout=5)
    assert isinstance(last, events.Done)


def test_polling_an_ended_job_does_not_wait(engine):
    job = engine.submit(ask("steps 0"))
    count = len(list(engine.events(job)))
    began = time.monotonic()
    assert engine.poll(job, count, timeout=10) == []
    assert time.monotonic() - began < 1


def test_an_unknown_job_is_said_to_be_unknown(engine):
    with pytest.raises(errors.NotFound, match="no job 'nonesuch'"):
        list(engine.events("nonesuch"))
    assert engine.cancel("nonesuch") is False


def test_cancelling_a_running_job_ends_it(engine, script):
    job = engine.submit(ask("hold"))
    wait_for(lambda: script.painted)
    assert engine.cancel(job) is True
    assert isinstance(ending(engine, job), events.Cancelled)


def test_a_job_cancelled_while_it_waits_is_never_started(engine, script):
    running, waiting = engine.submit(ask("hold")), engine.submit(ask("steps 1"))
    assert engine.cancel(waiting) is True
    script.release.set()
    assert isinstance(ending(engine, running), events.Done)
    assert isinstance(ending(engine, waiting), events.Cancelled)
    assert waiting not in script.painted


def test_cancelling_an_ended_job_changes_nothing(engine):
    job = engine.submit(ask("steps 0"))
    told = list(engine.events(job))
    assert engine.cancel(job) is False
    assert list(engine.events(job)) == told


def test_a_full_queue_refuses_and_forgets_nothing(engine, script):
    running = engine.submit(ask("hold"))
    wait_for(lambda: script.painted)
    waiting = [engine.submit(ask("steps 0")) for _ in range(MAX_WAITING)]
    with pytest.raises(errors.QueueFull):
        engine.submit(ask("steps 0"))
    script.release.set()
    for job in (running, *waiting):
        assert isinstance(ending(engine, job), events.Done)
    assert engine.status().queue == 0


def test_the_state_follows_the_work(engine, script):
    wait_for(lambda: engine.status().state == "ready")
    job = engine.submit(ask("hold"))
    assert engine.status().state == "busy"
    script.release.set()
    list(engine.events(job))
    assert engine.status().state == "ready"
    assert engine.status().device == STATE.device


def test_the_engine_is_starting_until_the_painter_stands(script):
    gate = threading.Event()

    def slow_painter() -> Painter:
        gate.wait(10)
        return script.painter()

    with Engine(hire=lambda: ThreadLink(slow_painter)) as engine:
        assert engine.status().state == "starting"
        job = engine.submit(ask("steps 0"))
        gate.set()
        assert isinstance(ending(engine, job), events.Done)


def test_a_worker_that_lost_its_card_is_replaced(engine):
    with pytest.raises(errors.WorkerLost):
        engine.generate(ask("lost"))
    assert engine.generate(ask("steps 0")).nfe == 1


def test_a_lost_card_costs_the_job_that_lost_it_and_no_other():
    gate = threading.Event()

    def painter() -> Painter:
        lost = threading.Event()

        def paint(order, _hooks):
            if order.request.prompt == "lost":
                gate.wait(10)
                lost.set()
            if lost.is_set():
                raise errors.WorkerLost("The card failed.")
            return result()

        return Painter(paint=paint, state=lambda: STATE, tune=tune)

    with Engine(hire=lambda: ThreadLink(painter)) as engine:
        jobs = [engine.submit(ask(prompt)) for prompt in ("lost", "a", "b", "c")]
        gate.set()
        ends = [type(ending(engine, job)) for job in jobs]
    assert ends == [events.Failed, events.Done, events.Done, events.Done]


def test_a_worker_that_gave_up_gets_no_more_work(script):
    said = [STATE, WorkerBroken(error=errors.report(OSError("x"))), STATE]
    heard, go_on = threading.Event(), threading.Event()

    class Late(ThreadLink):
        """Says that it is ready again after it gave up."""

        def receive(self) -> object | None:
            if said:
                return said.pop(0)
            heard.set()
            go_on.wait(10)
            return None

        def send(self, message: object) -> None:
            raise AssertionError(f"{message} was sent to a worker that gave up")

    links = iter([Late(script.painter), script.link()])
    with Engine(hire=lambda: next(links)) as engine:
        assert heard.wait(10)
        job = engine.submit(ask("steps 0"))
        go_on.set()
        assert isinstance(ending(engine, job), events.Done)


def test_a_worker_that_cannot_be_hired_fails_the_job_and_not_the_engine(script, caplog):
    mishaps = [OSError("too many processes"), OSError("too many processes")]

    def hire() -> ThreadLink:
        if mishaps:
            raise mishaps.pop()
        return script.link()

    with Engine(hire=hire) as engine:
        wait_for(lambda: len(mishaps) == 1 and engine.status().state == "restarting")
        with pytest.raises(errors.BugError, match="Unexpected OSError: too many processes"):
            engine.generate(ask("steps 0"))
        assert engine.generate(ask("steps 0")).nfe == 1
    assert "Traceback" in caplog.text


def test_a_worker_that_talks_nonsense_is_replaced(script):
    class Garbled(ThreadLink):
        def receive(self) -> object | None:
            message = super().receive()
            if isinstance(message, events.Progress):
                raise ValueError("no JSON")
            return message

    links = iter([Garbled(script.painter), script.link()])
    with Engine(hire=lambda: next(links)) as engine:
        job, after = engine.submit(ask("steps 1")), engine.submit(ask("steps 1"))
        assert ending(engine, job).error.message == "Unexpected ValueError: no JSON."
        assert isinstance(ending(engine, after), events.Done)


def test_a_worker_that_never_begins_fails_each_job_with_the_reason():
    def broken() -> Painter:
        raise ImportError("no torch here")

    with Engine(hire=lambda: ThreadLink(broken)) as engine:
        for _ in range(3):
            with pytest.raises(errors.StudioError, match="no torch here"):
                engine.generate(ask("steps 0"))
        assert engine.status().state == "restarting"


def test_closing_cancels_every_job_and_wakes_every_listener(script):
    engine = Engine(hire=script.link)
    jobs = [engine.submit(ask("hold")), engine.submit(ask("steps 0"))]
    with ThreadPoolExecutor() as pool:
        listeners = [pool.submit(ending, engine, job) for job in jobs]
        wait_for(lambda: script.painted)
        engine.close()
        assert [type(listener.result(10)) for listener in listeners] == [events.Cancelled] * 2
    engine.close()


def test_a_closed_engine_takes_no_job(engine):
    engine.close()
    with pytest.raises(errors.WorkerLost, match="closed"):
        engine.submit(ask("steps 0"))


def test_the_users_settings_fill_what_the_request_leaves_open(script, tmp_path):
    orders = []

    def remember(order, hooks):
        orders.append(order)
        return script.paint(order, hooks)

    settings = Settings(
        device="cpu", precision="bf16", vram_gb=4.0, profile=Profile.LOW_RAM_LOW_VRAM,
        output_folder=tmp_path,
    )  # fmt: skip
    painter = Painter(paint=remember, state=lambda: STATE, tune=tune)
    with Engine(settings, hire=lambda: ThreadLink(lambda: painter)) as engine:
        engine.generate(ask("steps 0"))
        engine.generate(Request(prompt="steps 0", device="cuda", precision="fp32"))
    first, second = orders
    assert (first.request.device, first.request.precision) == ("cpu", "bf16")
    assert (first.output.folder, first.vram_gb) == (tmp_path, 4.0)
    assert first.profile is Profile.LOW_RAM_LOW_VRAM
    assert (second.request.device, second.request.precision) == ("cuda", "fp32")


def test_new_settings_are_saved_and_hold_for_later_jobs_only(script, tmp_path):
    orders = []

    def remember(order, hooks):
        orders.append(order)
        return script.paint(order, hooks)

    painter = Painter(paint=remember, state=lambda: STATE, tune=tune)
    settings = Settings(data_dir=tmp_path, output_folder=tmp_path / "old")
    with Engine(settings, hire=lambda: ThreadLink(lambda: painter)) as engine:
        first, second = engine.submit(ask("hold")), engine.submit(ask("steps 0"))
        engine.update_settings(Settings(data_dir=tmp_path, output_folder=tmp_path / "new"))
        third = engine.submit(ask("steps 0"))
        script.release.set()
        for job in (first, second, third):
            list(engine.events(job))
    assert [order.output.folder.name for order in orders] == ["old", "old", "new"]
    assert "new" in (tmp_path / "settings.json").read_text()


def test_the_known_models_are_listed(engine, tiny_model):
    assert [variant.name for variant in engine.models()][:2] == ["demo-turbo", "demo-base"]
    assert engine.model("base").name == "base"
    assert engine.model(str(tiny_model)).name == "turbo"
    with pytest.raises(errors.NotFound, match="nonesuch"):
        engine.model("nonesuch")


@pytest.mark.parametrize("seed", range(12))
def test_random_users_see_each_job_end_exactly_once(seed):
    rng, script = random.Random(seed), Script()
    script.pause = 0.0005
    script.release.set()
    prompts = ("steps 3", "steps 0", "fail", "bug", "lost", "exit", "hold")
    accepted: list[str] = []
    with Engine(hire=script.link) as engine:
        for _ in range(30):
            if rng.random() < 0.7:
                accepted.append(engine.submit(ask(rng.choice(prompts))))
            else:
                engine.cancel(rng.choice(accepted) if accepted else "none")
            time.sleep(rng.random() * 0.002)
        if rng.random() < 0.5:
            for job in accepted:
                list(engine.events(job))
    for job in accepted:
        told = list(engine.events(job))
        terminal = [event for event in told if isinstance(event, events.TERMINAL)]
        assert terminal == told[-1:], f"seed {seed}, {job}: {told}"
        assert {event.job for event in told} == {job}


def test_stuck_listeners_do_not_hold_up_the_worker(engine):
    stuck = [engine.events(engine.submit(ask("steps 1"))) for _ in range(20)]
    for listener in stuck:
        next(listener)
    began = time.monotonic()
    for _ in range(20):
        engine.generate(ask("steps 5"))
    assert time.monotonic() - began < 5


def test_twenty_clients_hear_their_own_jobs_only(engine):
    def client(number: int) -> bool:
        told = []
        for _ in range(5):
            try:
                job = engine.submit(ask(f"steps {number % 7}"))
            except errors.QueueFull:
                time.sleep(0.01)
                continue
            told = list(engine.events(job))
            steps = [event for event in told if isinstance(event, events.Progress)]
            if len(steps) != number % 7 or {event.job for event in told} != {job}:
                return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(client, range(20)))


def test_an_engine_that_sleeps_hires_nobody_until_it_is_woken(script):
    hired = threading.Event()

    def hire() -> ThreadLink:
        hired.set()
        return script.link()

    with Engine(asleep=True, hire=hire) as engine:
        assert not hired.wait(0.2)
        assert engine.status().state == "starting"
        engine.wake()
        assert hired.wait(5)


def test_a_job_wakes_an_engine_that_sleeps(script):
    with Engine(asleep=True, hire=script.link) as engine:
        assert isinstance(ending(engine, engine.submit(ask("steps 0"))), events.Done)


def test_the_fastest_ways_are_found_by_the_worker(script):
    with Engine(hire=script.link) as engine:
        assert engine.optimise() == TUNING
        assert engine.generate(ask("steps 0")) == result()


def test_what_goes_wrong_while_optimising_is_told_and_the_worker_goes_on(script, tmp_path):
    with Engine(Settings(data_dir=tmp_path / "wrong"), hire=script.link) as engine:
        with pytest.raises(errors.OutOfMemory, match="Too little"):
            engine.optimise()
        assert engine.generate(ask("steps 0")) == result()


def test_nothing_is_optimised_beside_a_job(script):
    with Engine(hire=script.link) as engine:
        job = engine.submit(ask("hold"))
        next(event for event in engine.events(job) if isinstance(event, events.Started))
        with pytest.raises(errors.QueueFull, match="being painted"):
            engine.optimise()
        script.release.set()


def test_optimising_ends_where_no_worker_begins():
    def broken() -> Painter:
        raise errors.OutOfMemory("No torch.")

    with Engine(hire=lambda: ThreadLink(broken)) as engine, pytest.raises(errors.WorkerLost):
        engine.optimise()


def test_a_machine_is_measured_once_when_the_first_forecast_needs_it(script, tmp_path):
    measured = threading.Event()
    folders = []

    def measure(folder) -> None:
        folders.append(folder)
        measured.set()

    host = Host(total_bytes=2**34, available_bytes=2**33)
    state = replace(STATE, host=host)
    painter = Painter(paint=script.paint, state=lambda: state, tune=tune, measure=measure)
    settings = Settings(data_dir=tmp_path)
    with Engine(settings, hire=lambda: ThreadLink(lambda: painter)) as engine:
        engine.generate(ask("steps 0"))
        told = [engine.forecast(Request(prompt="")) for _ in range(3)]
        assert measured.wait(10)
        engine.generate(ask("steps 0"))
    assert all(one.fit is Fit.FITS for one in told)
    assert folders == [tmp_path]


def test_an_order_names_its_pictures_by_content_and_holds_no_path(script, tmp_path):
    orders = []

    def remember(order, hooks):
        orders.append(order)
        return script.paint(order, hooks)

    picture = tmp_path / "mine.png"
    picture.write_bytes(b"picture")
    painter = Painter(paint=remember, state=lambda: STATE, tune=tune)
    settings = Settings(data_dir=tmp_path / "data")
    with Engine(settings, hire=lambda: ThreadLink(lambda: painter)) as engine:
        kept = engine.keep_input(b"picture")
        engine.generate(Request(prompt="steps 0", images=(str(picture),), mask=kept))
        with pytest.raises(errors.NotFound, match="no picture"):
            engine.submit(Request(prompt="steps 0", images=("nowhere.png",)))
    (order,) = orders
    assert order.request.images == (kept,) and order.request.mask == kept
    assert str(tmp_path) not in str(order.request)
