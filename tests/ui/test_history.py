"""The History tab and the queue, called as Gradio calls them."""

from __future__ import annotations

import html
import json
import time
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from engine import JobState, Lora, Request, Search
from tests.ui.building import built, handlers_of
from tests.ui.fake_engine import FakeEngine
from ui import history_strings as words
from ui.components.gallery import gallery_markup
from ui.components.queue import queue_markup
from ui.context import PageContext
from ui.tabs.history_handlers import PAGE, HistoryHandlers, View
from ui.tabs.job_handlers import JobHandlers
from ui.tabs.queue_handlers import QueueHandlers

OWNER = ("browser", "tab")
ALL = ("", "", "", "", "", "all")


@pytest.fixture
def history(demo) -> HistoryHandlers:
    return handlers_of(demo, HistoryHandlers)


@pytest.fixture
def queue(demo) -> QueueHandlers:
    return handlers_of(demo, QueueHandlers)


def event(**values) -> gr.EventData:
    return gr.EventData(None, values)


def paint(engine, prompt="a red heart", session="", **values) -> int:
    """Paint a picture and return its number in the history."""
    job = engine.submit(Request(prompt=prompt, **values), session=session)
    list(engine.events(job))
    return engine.history.find(Search())[0].id


def named(updates) -> dict[str, object]:
    return {part.elem_id: value for part, value in updates.items()}


def gallery(history, *filters, visitor=OWNER) -> str:
    return str(named(history.look(*(filters or ALL), visitor))["history-gallery"])


def test_the_newest_picture_comes_first_and_is_named_by_its_prompt(history, engine):
    first, second = paint(engine, "one"), paint(engine, "two <b>")
    shown = gallery(history)
    assert shown.index(f'data-picture="{second}"') < shown.index(f'data-picture="{first}"')
    assert "two &lt;b&gt;" in shown and "<b>" not in shown


def test_filters_find_what_they_say(history, engine):
    paint(engine, "a fox", model="demo-base")
    paint(engine, "a castle", loras=(Lora("ink.safetensors"),))
    today = time.strftime("%Y-%m-%d")
    assert gallery(history, "fox", *ALL[1:]).count("data-picture") == 1
    assert gallery(history, "", "demo-base", "", "", "", "all").count("data-picture") == 1
    assert gallery(history, "", "", "ink.safetensors", "", "", "all").count("data-picture") == 1
    assert gallery(history, "", "", "", today, today, "all").count("data-picture") == 2
    assert words.NOTHING_FOUND in gallery(history, "", "", "", "2020-01-01", "2020-01-02", "all")
    assert words.TRASH_EMPTY in gallery(history, "", "", "", "", "", "trash")


def test_a_day_that_is_none_is_told(history):
    for day in ("31.1.2026", "2026-02-30", "x" * 1000, "2026-1", "2026-13-01"):
        told = named(history.look("", "", "", day, "", "all", OWNER))
        assert "is no day" in told["history-note"]


def test_hostile_filters_are_told_and_break_nothing(history, engine):
    paint(engine)
    for bad in (None, 7, ["x"], "a\0b", "x" * 200_000, "0001-01-01", "9999-12-31"):
        for place in range(len(ALL)):
            filters = [*ALL]
            filters[place] = bad
            assert set(named(history.look(*filters, OWNER))) >= {"history-note"}


def test_what_does_not_fit_is_one_page_further(history, engine):
    numbers = [paint(engine, f"number {n}") for n in range(PAGE + 2)]
    first = named(history.look(*ALL, OWNER))
    assert first["history-older"]["interactive"] and not first["history-newest"]["interactive"]
    view = first[history.parts.view.elem_id]
    second = named(history.older(view, *ALL, OWNER))
    assert str(second["history-gallery"]).count("data-picture") == 2
    assert f'data-picture="{numbers[0]}"' in second["history-gallery"]
    assert second["history-newest"]["interactive"] and not second["history-older"]["interactive"]
    turns = [page[name]["visible"] for page in (first, second)
             for name in ("history-newest", "history-older")]  # fmt: skip
    assert turns == [True] * 4


def test_where_all_fits_on_one_page_nothing_turns_it(history, engine):
    paint(engine)
    for filters in (ALL, ("nothing like it", *ALL[1:])):
        shown = named(history.look(*filters, OWNER))
        assert not shown["history-newest"]["visible"] and not shown["history-older"]["visible"]


def test_what_was_done_to_a_picture_is_said(history, engine):
    number = paint(engine)

    def said(act) -> str:
        return str(named(act(event(picture=number), View(), *ALL, OWNER))["history-note"])

    assert words.FAVOURED in said(history.favour)
    assert words.NOT_FAVOURED in said(history.favour)
    thrown = said(history.throw_away)
    assert words.THROWN_AWAY in thrown
    assert f'data-act="back" data-picture="{number}"' in thrown and words.TAKE_BACK in thrown
    assert words.TAKEN_BACK in said(history.take_back)
    wrong = ("", "", "", "no day", "", "all")
    told = named(history.throw_away(event(picture=number), View(), *wrong, OWNER))
    assert "is no day" in told["history-note"]


def test_small_pictures_come_when_they_are_asked_for_and_then_at_once(history, engine):
    number = paint(engine)
    assert "data-pending" in gallery(history)
    small = history.make_small(event(pictures=[number, 10**30, "x", None]), OWNER)
    assert small.count("data-small") == 1 and "data:image/jpeg" in small
    assert "data-pending" not in gallery(history)


def test_a_gallery_with_broken_files_shows_the_good_ones_and_a_note_for_the_rest(history, engine):
    numbers = [paint(engine, f"number {n}") for n in range(6)]
    found = {picture.id: picture.path for picture in engine.history.find(Search())}
    breaks = (b"", b"\x89PNG\r\n\x1a\nbroken", None)
    for number, data in zip(numbers[:3], breaks, strict=True):
        found[number].unlink()
        found[number].mkdir() if data is None else found[number].write_bytes(data)
    small = history.make_small(event(pictures=numbers), OWNER)
    assert small.count("data:image/jpeg") == 3
    assert small.count(words.UNREADABLE) == 3


def test_a_chosen_picture_shows_its_facts_and_what_can_be_done(history, engine):
    number = paint(engine, "a <i>fox</i>", seed=77)
    shown = history.choose(event(picture=number), OWNER)
    assert "a &lt;i&gt;fox&lt;/i&gt;" in shown and "Seed 77" in shown
    for act in ("all", "edit", "inpaint", "other", "like", "trash", "close"):
        assert f'data-act="{act}"' in shown


def test_a_picture_without_its_file_keeps_its_settings(history, engine):
    number = paint(engine)
    engine.history.picture(number).path.unlink()
    shown = history.choose(event(picture=number), OWNER)
    assert "is gone" in shown and 'data-act="all"' in shown and 'data-act="edit"' not in shown


def test_a_favourite_is_marked_and_found(history, engine):
    number = paint(engine)
    updates = named(history.favour(event(picture=number), View(), *ALL, OWNER))
    assert 'aria-pressed="true"' in updates["history-picture"]
    assert "★" in updates["history-gallery"]
    assert f'data-picture="{number}"' in gallery(history, "", "", "", "", "", "favourites")
    history.favour(event(picture=number), View(), *ALL, OWNER)
    assert not engine.history.picture(number).favourite


def test_a_picture_goes_to_the_trash_and_back_and_for_good(history, engine):
    number = paint(engine)
    path = engine.history.picture(number).path
    history.throw_away(event(picture=number), View(), *ALL, OWNER)
    assert not path.exists()
    thrown = named(history.look("", "", "", "", "", "trash", OWNER))
    assert thrown["history-empty"]["visible"] is True
    history.take_back(event(picture=number), View(), *ALL, OWNER)
    assert path.is_file()
    history.throw_away(event(picture=number), View(), *ALL, OWNER)
    emptied = named(history.empty_trash(View(), *ALL, OWNER))
    assert words.deleted(1) in emptied["history-note"]
    assert not path.exists() and engine.history.find(Search(trash=True)) == ()


def test_all_settings_go_to_the_results_of_the_tab_they_are_of(history, engine):
    Image.new("RGB", (64, 64)).save(engine.settings.data_dir / "x.png")
    name = engine.keep_input(engine.settings.data_dir / "x.png")
    for values, results in (
        ({}, "results"),
        ({"images": (name,)}, "edit-results"),
        ({"images": (name,), "mask": name}, "inpaint-results"),
    ):
        number = paint(engine, **values)
        shown = [()] * len(history._places.easels)
        updates = named(history.recall(event(picture=number), OWNER, *shown))
        assert "data-figure" in updates[results]


def test_another_model_gets_words_seed_and_size_but_its_own_steps(history, engine):
    number = paint(engine, "a fox", seed=5, steps=3, model="demo-turbo", width=256, height=128)
    updates = named(history.other_model(event(picture=number, model="demo-base"), OWNER))
    chosen = {key: updates[key]["value"] for key in ("prompt", "seed", "width", "height", "model")}
    assert chosen == {
        "prompt": "a fox", "seed": "5", "width": 256, "height": 128, "model": "demo-base",
    }  # fmt: skip
    assert updates["steps"]["value"] == engine.model("demo-base").defaults.steps


def test_a_picture_that_is_none_is_refused(history, engine):
    paint(engine)
    for number in (None, "1", 1.5, True, -1, 0, 2**70, [1]):
        with pytest.raises(gr.Error, match=r"not in the history|is no picture"):
            history.choose(event(picture=number), OWNER)


@pytest.fixture
def guest(engine) -> gr.Blocks:
    return built(PageContext(engine=engine, owner=False))


def test_a_visitor_finds_the_pictures_of_its_own_browser_only(guest, engine):
    history = handlers_of(guest, HistoryHandlers)
    theirs, mine = paint(engine, "owner's"), paint(engine, "mine", session="guest")
    shown = gallery(history, visitor=("guest", "tab"))
    assert f'data-picture="{mine}"' in shown and f'data-picture="{theirs}"' not in shown
    assert words.NOTHING in gallery(history, visitor=("other", "tab"))
    assert words.NOTHING in gallery(history, visitor=("", ""))


def test_a_visitor_cannot_touch_what_is_anothers(guest, engine):
    history = handlers_of(guest, HistoryHandlers)
    number = paint(engine, "owner's")
    before = engine.history.picture(number)
    plain = (history.choose, history.other_model, *map(history.sender, history._places.arrivals))
    calls = [
        *((act, ()) for act in plain),
        (history.recall, [()] * len(history._places.easels)),
    ]
    for act in (history.favour, history.throw_away, history.take_back):
        with pytest.raises(gr.Error, match="not in the history"):
            act(event(picture=number), View(), *ALL, ("guest", "tab"))
    for act, more in calls:
        with pytest.raises(gr.Error, match="not in the history"):
            act(event(picture=number, model="demo-base"), ("guest", "tab"), *more)
    assert history.make_small(event(pictures=[number]), ("guest", "tab")).count("data-small") == 0
    assert engine.history.picture(number) == before and before.path.is_file()


def test_emptying_the_trash_of_a_visitor_leaves_that_of_others(guest, engine):
    history = handlers_of(guest, HistoryHandlers)
    number = paint(engine, "owner's")
    engine.history.throw_away(number)
    history.empty_trash(View(), *ALL, ("guest", "tab"))
    assert engine.history.picture(number).file.is_file()


def hold(engine, *prompts, session="") -> list[str]:
    engine.go_on.clear()
    jobs = [engine.submit(Request(prompt=prompt), session=session) for prompt in prompts]
    deadline = time.monotonic() + 60
    while engine.queue.jobs()[0].progress is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return jobs


def test_the_queue_shows_every_job_and_what_can_be_done(queue, engine):
    running, first, second = hold(engine, "a", "b <b>", "c")
    shown = queue.show("", OWNER)
    assert "3 jobs" in shown and "b &lt;b&gt;" in shown and words.place(1) in shown
    assert shown.count('data-act="cancel"') == 3 and shown.count('data-act="up"') == 2
    assert queue.show(str(shown), OWNER) == gr.skip()
    queue.act(event(act="up", job=second), OWNER)
    assert [job.id for job in engine.queue.jobs()] == [running, second, first]
    queue.act(event(act="down", job=second), OWNER)
    queue.act(event(act="cancel", job=second), OWNER)
    assert [job.id for job in engine.queue.jobs()] == [running, first]
    engine.go_on.set()


def test_a_job_is_painted_once_more_with_another_seed(queue, engine):
    (running,) = hold(engine, "a")
    queue.act(event(act="again", job=running), OWNER)
    first, second = engine.queue.jobs()
    assert second.request.prompt == "a" and second.request.seed != first.request.seed
    engine.go_on.set()


def test_a_job_that_was_broken_off_can_be_painted_after_all(queue, engine):
    (job,) = hold(engine, "a")
    engine.cancel(job)
    engine.go_on.set()
    list(engine.events(job))
    with engine.history._store.write() as connection:
        connection.execute("UPDATE jobs SET state = 'stopped' WHERE id = ?", (job,))
    assert words.STOPPED in queue.show("", OWNER)
    queue.act(event(act="resume", job=job), OWNER)
    deadline = time.monotonic() + 60
    while engine.queue.jobs() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert engine.history.find(Search())[0].request["prompt"] == "a"


def test_a_visitor_sees_and_ends_its_own_jobs_only(guest, engine):
    queue = handlers_of(guest, QueueHandlers)
    (theirs,) = hold(engine, "owner's")
    mine = engine.submit(Request(prompt="mine"), session="guest")
    visitor = ("guest", "tab")
    shown = queue.show("", visitor)
    assert "mine" in shown and "owner" not in shown and 'data-act="up"' not in shown
    for act in ("cancel", "again", "up", "down", "resume", "drop", None, 7):
        with pytest.raises(gr.Error, match="not in the queue"):
            queue.act(event(act=act, job=theirs), visitor)
    for act in ("up", "down", "drop", None, 7):
        with pytest.raises(gr.Error, match="cannot be done"):
            queue.act(event(act=act, job=mine), visitor)
    assert [job.state for job in engine.queue.jobs()] == [JobState.RUNNING, JobState.WAITING]
    engine.go_on.set()


def test_nothing_is_shown_of_an_empty_queue():
    assert queue_markup((), owner=True) == "" and "No" in gallery_markup((), {}, words.NOTHING)


def test_earlier_prompts_are_told_as_data_and_not_as_markup(demo, engine):
    paint(engine, 'a "quoted" </i><script>alert(1)</script> fox')
    paint(engine, "theirs", session="guest")
    (tell,) = [fn.fn for fn in demo.fns.values() if getattr(fn.fn, "__name__", "") == "tell"]
    told = str(tell(OWNER))
    assert "<script>" not in told and "theirs" not in told
    assert json.loads(_attribute(told)) == ['a "quoted" </i><script>alert(1)</script> fox']


def _attribute(markup: str) -> str:
    return html.unescape(markup.partition('data-prompts="')[2].partition('"')[0])


def test_a_page_without_a_journal_says_so(tmp_path: Path, engine):
    engine.history._store.close()
    engine._history = None
    history = handlers_of(built(PageContext(engine=engine)), HistoryHandlers)
    assert words.NO_HISTORY in named(history.open(*ALL, OWNER))["history-note"]


def test_a_reloaded_page_finds_the_job_that_a_killed_program_had(engine, tmp_path):
    (job,) = hold(engine, "a red heart")
    engine.history._store.close()
    engine.close()
    engine.go_on.set()
    with FakeEngine(tmp_path, step_seconds=0.3) as again:
        again.go_on.clear()
        jobs = handlers_of(built(PageContext(engine=again)), JobHandlers)
        assert jobs._find_job("any browser", "any tab") == job
        visitor = handlers_of(built(PageContext(engine=again, owner=False)), JobHandlers)
        assert visitor._find_job("any browser", "any tab") is None
        again.go_on.set()
        list(again.events(job))
        assert jobs._find_job("any browser", "any tab") is None
