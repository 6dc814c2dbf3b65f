"""What was painted, and what waits, is still there when the program starts again."""

from __future__ import annotations

import io
import os
import threading
import time
from dataclasses import replace

import pytest
from PIL import Image

from engine import (
    BadRequest,
    DiskError,
    Engine,
    JobState,
    NotFound,
    Output,
    QueueFull,
    Request,
    Search,
    Settings,
    errors,
    events,
)
from engine.images.metadata import make_recipe
from engine.inputs import find_input
from engine.jobs.desk import MAX_WAITING
from engine.journal.jobs import MAX_ATTEMPTS, JobLog
from engine.journal.store import FILE
from engine.service.links import ThreadLink
from engine.storage import atomic_write, make_folder
from engine.worker import Painter
from tests.engine.fakes import STATE, tune
from tests.engine.workbench import aged


def small_png(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(data, "PNG")
    return data.getvalue()


class Easel:
    """Saves small pictures; `hold` waits, `fail` fails, `die` dies with the whole program."""

    def __init__(self) -> None:
        self.painted: list[str] = []
        self.orders = []
        self.release = threading.Event()
        self.begun = threading.Event()

    def link(self) -> ThreadLink:
        return ThreadLink(lambda: Painter(paint=self.paint, state=lambda: STATE, tune=tune))

    def paint(self, order, hooks):
        self.painted.append(order.request.prompt)
        self.orders.append(order)
        self.begun.set()
        while order.request.prompt.startswith("hold") and not self.release.wait(0.005):
            if hooks.cancelled():
                raise errors.Cancelled("Stopped.")
        if order.request.prompt == "fail":
            raise errors.NumericalError("No picture.", "Try again.")
        make_folder(order.output.folder)
        pictures = tuple(self._one(order, i) for i in range(order.request.count))
        return events.Result(
            pictures=pictures, seconds={"total": 2.5}, nfe=8, precision="fp32", plan="",
            peak_memory=0.0,
        )  # fmt: skip

    def _one(self, order, index):
        path = order.output.folder / order.output.file_names(order.request.count)[index]
        atomic_write(path, small_png())
        own = order.request.with_values(seed=order.request.seed + index, count=1)
        recipe = make_recipe(own, model_hash="", precision="fp32", plan="", warnings=())
        return events.Picture(path=path, recipe=recipe, width=64, height=48)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data", output_folder=tmp_path / "out")


@pytest.fixture
def easel():
    return Easel()


@pytest.fixture
def start(settings):
    """Starts an engine with a journal; all are closed at the end."""
    running = []

    def begin(easel: Easel, **changed) -> Engine:
        running.append(Engine(replace(settings, **changed), journal=True, hire=easel.link))
        return running[-1]

    yield begin
    for engine in running:
        engine.close()


def ending(engine: Engine, job: str) -> events.JobEvent:
    return list(engine.events(job))[-1]


def test_a_picture_is_in_the_history_as_soon_as_the_job_is_done(start, easel):
    engine = start(easel)
    job = engine.submit(Request(prompt="a fox", count=2), session="v")
    assert isinstance(ending(engine, job), events.Done)
    second, first = engine.history.find(Search(words="fox"))
    assert (first.width, first.height, first.seconds, first.session) == (64, 48, 2.5, "v")
    assert second.request["seed"] == first.request["seed"] + 1
    assert first.path.is_file() and first.path.stem.endswith("-1")
    assert engine.queue.jobs() == ()


def test_the_history_is_there_after_a_restart(start, easel):
    first = start(easel)
    first.generate(Request(prompt="a fox"))
    first.close()
    (found,) = start(easel).history.find(Search())
    assert found.request["prompt"] == "a fox"


def test_an_engine_without_a_journal_writes_none(settings, easel):
    with Engine(settings, hire=easel.link) as engine:
        engine.generate(Request(prompt="a fox"))
        assert engine.history is None and engine.notices == ()
    assert not (settings.data_dir / FILE).exists()


def test_what_waits_when_the_program_ends_is_painted_at_the_next_start(start, easel):
    first = start(easel)
    jobs = [first.submit(Request(prompt=prompt)) for prompt in ("hold a", "b", "c")]
    assert easel.begun.wait(10)
    first.queue.move(jobs[2], 0)
    before = [order.job for order in first._workshop.queue()[1]]
    seed = first.queue.job(jobs[1]).request.seed
    first.close()
    easel.release.set()
    second = start(easel)
    for job in jobs:
        assert isinstance(ending(second, job), events.Done)
    assert before == [jobs[0], jobs[2], jobs[1]]
    assert easel.painted == ["hold a", "hold a", "c", "b"]
    assert {order.request.seed for order in easel.orders if order.job == jobs[1]} == {seed}
    assert len(second.history.find(Search())) == 3
    second.close()
    assert start(easel).queue.jobs() == ()


def test_a_job_that_was_cancelled_or_failed_does_not_come_back(start, easel):
    engine = start(easel)
    held = engine.submit(Request(prompt="hold"))
    waiting, failing = (engine.submit(Request(prompt=p)) for p in ("x", "fail"))
    engine.cancel(waiting)
    engine.cancel(held)
    assert isinstance(ending(engine, failing), events.Failed)
    engine.close()
    again = start(easel)
    assert again.queue.jobs() == () and again.history.find(Search()) == ()
    assert easel.painted == ["hold", "fail"]


def test_a_job_found_finished_on_the_disk_is_not_painted_twice(start, easel, settings):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold", count=2, seed=5))
    assert easel.begun.wait(10)
    engine.close()
    (order,) = easel.orders
    make_folder(order.output.folder)
    for name in order.output.file_names(2):
        atomic_write(order.output.folder / name, small_png())
    again = start(easel)
    assert again.queue.jobs() == ()
    second, first = again.history.find(Search())
    assert [p.request["seed"] for p in (first, second)] == [5, 6]
    assert (first.width, first.height) == (64, 48)
    assert easel.painted == ["hold"]
    with pytest.raises(NotFound):
        again.poll(job, 0, 0)


@pytest.mark.parametrize("left", ["one of two", "no picture", "older"])
def test_a_job_with_less_than_all_its_pictures_is_painted_again(start, easel, left, tmp_path):
    engine = start(easel)
    job = engine.submit(
        Request(prompt="hold", count=2), Output(folder=tmp_path / "out", name="mine.png")
    )
    assert easel.begun.wait(10)
    engine.close()
    names = easel.orders[0].output.file_names(2)
    make_folder(tmp_path / "out")
    for name in names[:1] if left == "one of two" else names:
        path = tmp_path / "out" / name
        atomic_write(path, b"no picture" if left == "no picture" else small_png())
        if left == "older":
            os.utime(path, (time.time() - 60,) * 2)
    easel.release.set()
    again = start(easel)
    assert isinstance(ending(again, job), events.Done)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    assert len(again.history.find(Search())) == 2


def test_the_mask_of_a_job_returns_with_it(start, easel, settings):
    engine = start(easel)
    mask = engine.keep_input(small_png("white"))
    job = engine.submit(Request(prompt="hold", images=(mask,), mask=mask))
    aged(settings.data_dir)
    engine.clear_inputs()
    engine.close()
    easel.release.set()
    again = start(easel)
    assert isinstance(ending(again, job), events.Done)
    kept = easel.orders[-1].request.mask
    assert find_input(kept, settings.data_dir).read_bytes() == small_png("white")


def wait_until_running(engine: Engine, job: str) -> None:
    deadline = time.monotonic() + 20
    while engine.queue.job(job).state is not JobState.RUNNING or not told_to_have_begun(
        engine, job
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def told_to_have_begun(engine: Engine, job: str) -> bool:
    return any(isinstance(event, events.Started) for event in engine.poll(job, 0, 0))


def kill(engine: Engine) -> None:
    """End an engine without a word to its journal."""
    engine.history._store.close()
    engine.close()


def test_a_job_that_dies_with_the_program_again_and_again_waits_for_the_user(start, easel):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold"))
    for _ in range(MAX_ATTEMPTS):
        assert engine.queue.job(job).state is not JobState.STOPPED
        wait_until_running(engine, job)
        kill(engine)
        engine = start(easel)
    (stopped,) = engine.queue.jobs()
    assert (stopped.id, stopped.state) == (job, JobState.STOPPED)
    easel.release.set()
    engine.queue.resume(job)
    assert isinstance(ending(engine, job), events.Done)
    assert engine.queue.jobs() == ()


def test_ending_the_program_in_order_is_no_death_of_a_job(start, easel):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold"))
    for _ in range(MAX_ATTEMPTS + 1):
        wait_until_running(engine, job)
        engine.close()
        engine = start(easel)
    assert engine.queue.job(job).state is not JobState.STOPPED


def test_a_stopped_job_can_be_given_up(start, easel):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold"))
    wait_until_running(engine, job)
    engine.history.jobs.end(job, JobState.STOPPED)
    kill(engine)
    again = start(easel)
    with pytest.raises(NotFound, match="not in the queue"):
        again.queue.cancel(job, session="another")
    again.queue.cancel(job)
    assert again.queue.jobs() == ()
    again.close()
    assert start(easel).queue.jobs() == ()


@pytest.mark.parametrize(
    "change", ['\'{"~kind": "Later"}\'', "replace(line, '\"count\": 1', '\"count\": 65')"]
)
def test_a_job_of_another_version_is_given_up_and_said(start, easel, caplog, change):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold"))
    with engine.history._store.write() as connection:
        connection.execute(f"UPDATE jobs SET line = CAST({change} AS BLOB)")
    engine.close()
    assert start(easel).queue.jobs() == ()
    assert f"The job {job} was written by another version" in caplog.text


def test_more_jobs_than_the_queue_takes_are_refused_and_not_written_down(start, easel):
    engine = start(easel)
    engine.submit(Request(prompt="hold"))
    assert easel.begun.wait(10)
    for _ in range(MAX_WAITING):
        engine.submit(Request(prompt="x"))
    with pytest.raises(QueueFull):
        engine.submit(Request(prompt="one more"))
    engine.close()
    again = start(easel)
    assert len(again.queue.jobs()) == MAX_WAITING + 1
    assert "one more" not in {job.request.prompt for job in again.queue.jobs()}


def test_the_queue_shows_what_runs_and_what_waits_to_whom_it_belongs(start, easel):
    engine = start(easel)
    running = engine.submit(Request(prompt="hold"))
    waiting = engine.submit(Request(prompt="x"), session="v")
    assert easel.begun.wait(10)
    assert [(job.id, job.state) for job in engine.queue.jobs()] == [
        (running, JobState.RUNNING), (waiting, JobState.WAITING),
    ]  # fmt: skip
    assert [job.id for job in engine.queue.jobs("v")] == [waiting]
    for act in (engine.queue.cancel, engine.queue.job, engine.duplicate, engine.queue.resume):
        with pytest.raises(NotFound):
            act(running, "v")
    with pytest.raises(NotFound, match="does not wait"):
        engine.queue.move(running, 1)
    with pytest.raises(NotFound, match="was not stopped"):
        engine.queue.resume(waiting, "v")


def test_a_duplicate_has_another_seed_and_the_same_owner(start, easel):
    engine = start(easel)
    job = engine.submit(Request(prompt="hold", seed=3), session="v")
    twin = engine.queue.job(engine.duplicate(job, "v"))
    assert twin.session == "v" and twin.request.seed != 3
    assert twin.request.with_values(seed=3) == engine.queue.job(job).request


def test_a_second_program_paints_without_a_history_and_tells(start, easel):
    first, second = start(easel), start(easel)
    assert second.history is None and "twice" in second.notices[0]
    second.generate(Request(prompt="x"))
    assert first.history.find(Search()) == ()


def test_earlier_prompts_come_back_newest_first_once_each(start, easel):
    engine = start(easel)
    for prompt in ("one", "two", "one", " "):
        engine.generate(Request(prompt=prompt))
    engine.submit(Request(prompt="theirs"), session="v")
    assert engine.history.prompts("") == ("one", "two")
    assert engine.history.prompts("v") == ("theirs",)


def test_a_picture_goes_to_the_trash_and_back(start, easel, settings):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    engine.history.throw_away(made.id)
    engine.history.throw_away(made.id)
    assert not made.path.exists() and engine.history.find(Search()) == ()
    (thrown,) = engine.history.find(Search(trash=True))
    assert thrown.file.parent == settings.data_dir / "trash" and thrown.file.is_file()
    engine.history.take_back(made.id)
    engine.history.take_back(made.id)
    assert made.path.read_bytes() == small_png()
    assert engine.history.find(Search()) == (made,) and not thrown.file.exists()


def test_a_picture_is_not_taken_back_over_another_file(start, easel):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    engine.history.throw_away(made.id)
    made.path.write_bytes(b"another")
    with pytest.raises(BadRequest, match="is there again"):
        engine.history.take_back(made.id)
    assert made.path.read_bytes() == b"another"
    (thrown,) = engine.history.find(Search(trash=True))
    thrown.file.unlink()
    with pytest.raises(NotFound, match="not in the trash"):
        engine.history.take_back(made.id)


def test_an_entry_without_a_file_is_struck_out(start, easel):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    made.path.unlink()
    engine.history.throw_away(made.id)
    assert engine.history.find(Search()) == engine.history.find(Search(trash=True)) == ()


def test_emptying_the_trash_deletes_what_is_in_it_and_nothing_else(start, easel, settings):
    engine = start(easel)
    for session in ("", "", "v"):
        job = engine.submit(Request(prompt="x"), session=session)
        ending(engine, job)
    third, second, first = engine.history.find(Search())
    for one in (first, third):
        engine.history.throw_away(one.id)
    assert engine.history.empty_trash("v") == 1
    assert len(engine.history.find(Search(trash=True))) == 1
    assert engine.history.empty_trash() == 1
    assert engine.history.find(Search()) == (second,) and second.path.is_file()
    assert list((settings.data_dir / "trash").iterdir()) == []


def test_anothers_picture_cannot_be_touched(start, easel):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    history = engine.history
    for act in (history.picture, history.favour, history.throw_away, history.take_back):
        with pytest.raises(NotFound):
            act(made.id, "v")
    assert history.find(Search()) == (made,)


def test_inputs_that_a_picture_or_a_job_began_with_are_not_cleared(start, easel, settings):
    engine = start(easel)
    names = [engine.keep_input(small_png(colour)) for colour in ("red", "blue", "green", "white")]
    engine.generate(Request(prompt="x", images=(names[0],)))
    engine.submit(Request(prompt="hold", images=(names[1],), mask=names[2]))
    aged(settings.data_dir)
    freed = engine.clear_inputs()
    assert freed == len(small_png("white"))
    for name in names[:3]:
        assert find_input(name, settings.data_dir).is_file()
    with pytest.raises(NotFound):
        find_input(names[3], settings.data_dir)
    assert engine.inputs_size() == sum(len(small_png(c)) for c in ("red", "blue", "green"))


def test_thumbnails_are_made_once_and_anew_when_the_file_changed(start, easel):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    assert engine.history.thumbnail(made, make=False) is None
    small = engine.history.thumbnail(made)
    assert Image.open(io.BytesIO(small)).size == (64, 48)
    assert engine.history.thumbnail(made, make=False) == small
    atomic_write(made.path, small_png("blue"))
    assert engine.history.thumbnail(made) != small


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n broken", None])
def test_a_broken_or_missing_picture_has_no_thumbnail(start, easel, data):
    engine = start(easel)
    engine.generate(Request(prompt="x"))
    (made,) = engine.history.find(Search())
    if data is None:
        made.path.unlink()
        made.path.mkdir()
    else:
        made.path.write_bytes(data)
    assert engine.history.thumbnail(made) is None


def test_a_disk_that_fails_costs_the_line_in_the_history_and_not_the_job(
    start, easel, monkeypatch, caplog
):
    engine = start(easel)

    def fail(*_):
        raise DiskError("The disk is full.")

    monkeypatch.setattr(engine.history._album, "add", fail)
    assert isinstance(ending(engine, engine.submit(Request(prompt="x"))), events.Done)
    assert "The history misses the job" in caplog.text
    monkeypatch.setattr(engine.history.jobs, "accept", fail)
    with pytest.raises(DiskError):
        engine.submit(Request(prompt="x"))
    assert engine.queue.jobs() == ()


def test_a_folder_that_the_history_cannot_name_costs_the_line_and_not_the_job(
    start, easel, tmp_path, caplog
):
    engine = start(easel)
    output = Output(folder=tmp_path / "\udcff")
    for _ in range(2):
        assert isinstance(ending(engine, engine.submit(Request(prompt="x"), output)), events.Done)
    assert len(easel.painted) == 2
    assert "The history misses the job" in caplog.text


def test_a_disk_that_fails_at_the_start_keeps_no_one_from_painting(
    start, easel, monkeypatch, caplog
):
    def fail(*_):
        raise DiskError("The disk is gone.")

    monkeypatch.setattr(JobLog, "unended", fail)
    engine = start(easel)
    assert isinstance(ending(engine, engine.submit(Request(prompt="x"))), events.Done)
    assert "The disk is gone." in caplog.text


def test_a_stopped_job_asked_for_twice_at_once_waits_once(start, easel, monkeypatch):
    engine = start(easel)
    engine.submit(Request(prompt="hold"))
    assert easel.begun.wait(10)
    log = engine.history.jobs
    order = replace(engine.queue.jobs()[0], id="stopped", state=JobState.STOPPED)
    log.accept(replace(easel.orders[0], job=order.id))
    log.end(order.id, JobState.STOPPED)
    monkeypatch.setattr(type(engine.queue), "job", lambda *_: order)
    engine.queue.resume(order.id)
    with pytest.raises(NotFound, match="was not stopped"):
        engine.queue.resume(order.id)
    assert len(engine.queue.jobs()) == 2


def test_a_job_that_finds_no_room_after_all_stays_stopped(start, easel, monkeypatch):
    engine = start(easel)
    engine.submit(Request(prompt="hold"))
    assert easel.begun.wait(10)
    log = engine.history.jobs
    log.accept(replace(easel.orders[0], job="stopped"))
    log.end("stopped", JobState.STOPPED)

    def full(*_):
        raise QueueFull("No more fit.")

    with monkeypatch.context() as change:
        change.setattr(engine._workshop, "accept", full)
        with pytest.raises(QueueFull):
            engine.queue.resume("stopped")
    assert engine.queue.job("stopped").state is JobState.STOPPED
    engine.queue.resume("stopped")
    assert engine.queue.job("stopped").state is JobState.WAITING


def test_a_start_that_fails_leaves_the_journal_to_the_next(start, easel, monkeypatch):
    with monkeypatch.context() as change:
        change.setattr("engine.service.engine.recover", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            start(easel)
    assert start(easel).history is not None
    assert caught.value


def test_a_job_taken_up_again_is_told_from_one_that_was_just_accepted(start, easel):
    engine = start(easel)
    engine.submit(Request(prompt="hold"))
    assert easel.begun.wait(10)
    engine.close()
    again = start(easel)
    again.submit(Request(prompt="x"))
    assert [job.restored for job in again.queue.jobs()] == [True, False]
