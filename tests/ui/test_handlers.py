"""The handlers, called as Gradio calls them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from engine import BadRequest, Cancelled, QueueFull, Request
from tests.ui.building import built, handlers_of
from ui import bindings
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.job_handlers import JobHandlers
from ui.tabs.settings import SettingsHandlers


@pytest.fixture
def jobs(demo) -> JobHandlers:
    return handlers_of(demo, JobHandlers)


def named(demo: gr.Blocks, updates) -> dict[str, object]:
    """Return updates by the id of their component, leaving out those without one."""
    return {part.elem_id: value for part, value in updates.items() if part.elem_id}


def fields(engine, model="demo-base", folder=None, **changes) -> dict[str, object]:
    values = bindings.to_widgets(Request(prompt="a red heart", model=model), engine.model(model))
    return {**values, "model": folder or model, **changes}


def test_an_error_of_the_engine_becomes_its_sentence_and_stays_text():
    with pytest.raises(gr.Error) as shown, plain_errors():
        raise BadRequest("The width is <b>7</b>.", "Use 16.")
    assert shown.value.message == "The width is &lt;b&gt;7&lt;/b&gt;. Use 16."


def test_what_nobody_foresaw_goes_to_the_log_and_not_to_the_page(caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as shown, plain_errors():
        raise ValueError("secret detail")
    assert "secret" not in shown.value.message
    assert "secret detail" in caplog.text


def test_choosing_a_model_sets_its_defaults_and_what_it_ignores(demo, form):
    turbo = named(demo, form.choose_model("demo-turbo", "", ""))
    assert (turbo["steps"]["value"], turbo["guidance-scale"]["value"]) == (8, 0.0)
    assert turbo["negative"]["interactive"] is False
    assert "Turbo" in turbo["negative"]["info"]
    base = named(demo, form.choose_model("base", "", ""))
    assert (base["steps"]["value"], base["width"]["value"]) == (30, 1024)
    assert base["negative"]["interactive"] is True
    assert "blurry" in base["negative"]["value"]
    assert base["shape"]["value"] == "Square 1:1"
    assert base["megapixels"]["interactive"] is True


def test_an_unknown_model_is_named(form):
    with pytest.raises(gr.Error, match="nothing/here"):
        form.choose_model("nothing/here", "", "")


def test_guidance_wakes_the_negative_prompt_of_a_turbo_model(demo, form, engine):
    turbo = engine.model("demo-turbo")
    assert named(demo, form.heed_guidance(1.0, turbo))["negative"]["interactive"] is True
    assert named(demo, form.heed_guidance(None, turbo))["negative"]["interactive"] is False


def test_the_note_names_what_the_model_never_saw(form, engine):
    assert "“elephant”" in form.heed_prompt("a red elephant", engine.model("demo-base"))
    assert "elephant" not in form.heed_prompt("a red elephant", engine.model("base"))


def test_a_shape_sets_both_sides_and_sides_name_their_shape(form, engine):
    base = engine.model("base")
    assert form.choose_shape("Wide 16:9", 1.0, base) == (1280, 720)
    assert form.heed_sides(1280.0, 720.0, 1.0, base) == "Wide 16:9"
    assert form.heed_sides(1280.0, 736.0, 1.0, base) == "Custom"


VISIT = SimpleNamespace(session_hash="visit")


async def told_by(handler) -> list:
    return [updates async for updates in handler]


def run(jobs: JobHandlers, engine, **changes) -> tuple[str, list]:
    """Start a job and watch it to its end; return its id and what the page was told."""
    handler = jobs.generate(("browser", "tab"), (), VISIT, **fields(engine, **changes))
    told = asyncio.run(told_by(handler))
    return told[0][jobs._parts.job], told


def test_a_form_that_is_not_taken_whole_leaves_no_job(jobs, engine, monkeypatch):
    taken, submit = [], engine.submit

    def take_one(*given, **named) -> str:
        if taken:
            raise QueueFull("There is no room.")
        taken.append(submit(*given, **named))
        return taken[0]

    engine.go_on.clear()
    monkeypatch.setattr(engine, "submit", take_one)
    with pytest.raises(gr.Error, match="no room"):
        run(jobs, engine, prompt="a __demo-colour__ heart", count=2)
    engine.go_on.set()
    assert isinstance(list(engine.events(taken[0]))[-1], Cancelled)


def begin(jobs: JobHandlers, engine, visitor=("browser", "tab")) -> str:
    """Start a job, and look away at once; return its id."""

    async def glance() -> str:
        handler = jobs.generate(visitor, (), VISIT, **fields(engine))
        first = await anext(handler)
        await handler.aclose()
        return first[jobs._parts.job]

    return asyncio.run(glance())


def attached(jobs: JobHandlers, browser: str, tab: str, visit: str = "visit") -> str | None:
    """Return the job that a page is given when it is loaded."""

    async def glance() -> str | None:
        handler = jobs.attach(f"{browser} {tab}", SimpleNamespace(session_hash=visit))
        first = await anext(handler)
        await handler.aclose()
        return first.get(jobs._parts.job)

    return asyncio.run(glance())


def test_a_job_ends_with_its_picture_and_its_recipe_on_the_page(demo, jobs, engine):
    _, told = run(jobs, engine, seed="7", model="demo-turbo")
    last = named(demo, told[-1])
    assert "Seed 7 · 8 steps · 128 × 128 · Demo Turbo" in last["results"]
    assert last["generate"]["visible"] is True
    assert last["cancel"]["visible"] is False


def test_a_picture_on_the_page_is_the_file_itself(jobs, engine):
    job, told = run(jobs, engine)
    saved = next(iter(engine.settings.output_folder.glob(f"{job}*"))).read_bytes()
    (shown,) = told[-1][jobs._parts.shown]
    copy = shown.url.removeprefix("gradio_api/file=")
    assert Path(unquote(copy)).read_bytes() == saved
    assert str(engine.settings.output_folder) not in unquote(copy)


def test_a_page_finds_the_pictures_of_a_folder_that_was_moved(jobs, engine):
    job, _ = run(jobs, engine)
    old, new = engine.settings.output_folder, engine.settings.output_folder.with_name("moved")
    engine.move_files(replace(engine.settings, output_folder=new))
    result = engine.poll(job, 0, 0.0)[-1].result
    (shown,) = jobs._newly_shown(result)
    assert shown.path.parent == new and shown.path.is_file()
    shown.path.unlink()
    assert jobs._newly_shown(result) == ()
    assert not old.exists()


def test_a_failed_job_shows_its_sentence_and_gives_the_button_back(demo, jobs, engine):
    _, told = run(jobs, engine, prompt="NaN")
    last = named(demo, told[-1])
    assert "numbers that are no picture" in last["stage"]
    assert last["generate"]["visible"] is True


def test_a_page_that_cannot_show_a_picture_gives_the_button_back(demo, jobs, engine, monkeypatch):
    def full(_path):
        raise OSError("no space left")

    monkeypatch.setattr(jobs._parts.results, "move_resource_to_block_cache", full)
    told = {}

    async def watch() -> None:
        async for updates in jobs.generate(("b", "t"), (), VISIT, **fields(engine)):
            told.update(updates)

    with pytest.raises(gr.Error, match="Something unexpected"):
        asyncio.run(watch())
    assert named(demo, told)["generate"]["visible"] is True


def test_a_bug_of_the_engine_is_reported_as_one(demo, jobs, engine):
    _, told = run(jobs, engine, prompt="bug")
    assert "Unexpected ValueError" in named(demo, told[-1])["stage"]


def test_a_bad_size_is_refused_with_the_engines_own_sentence(jobs, engine):
    with pytest.raises(gr.Error, match="multiple of 16"):
        run(jobs, engine, width=100.0)
    assert engine.status().queue == 0


def test_cancel_stops_the_job_and_leaves_no_file(demo, jobs, engine):
    engine.go_on.clear()
    job = begin(jobs, engine)
    stopping = named(demo, jobs.stop(job))
    assert stopping["cancel"]["interactive"] is False
    engine.go_on.set()
    assert type(list(engine.events(job))[-1]).__name__ == "Cancelled"
    assert list(engine.settings.output_folder.glob("*.png")) == []


BROWSER, STRANGER, ONE, TWO = (letter * 32 for letter in "abcd")


def test_a_reloaded_tab_is_given_its_running_job_and_another_tab_is_not(jobs, engine):
    engine.go_on.clear()
    job = begin(jobs, engine, (BROWSER, ONE))
    jobs._page.visitors.look_at("other visit", job)
    assert attached(jobs, BROWSER, ONE) == job
    assert attached(jobs, BROWSER, TWO) is None
    assert attached(jobs, STRANGER, ONE) is None
    jobs._page.visitors.leave("other visit")
    assert attached(jobs, BROWSER, TWO) == job
    engine.go_on.set()


def test_a_reloaded_tab_sees_the_pictures_of_its_last_job_again(demo, jobs, engine):
    asyncio.run(told_by(jobs.generate((BROWSER, ONE), (), VISIT, **fields(engine, seed="9"))))
    told = asyncio.run(told_by(jobs.attach(f"{BROWSER} {ONE}", VISIT)))
    assert "Seed 9" in named(demo, told[-1])["results"]
    assert asyncio.run(told_by(jobs.attach(f"{BROWSER} {TWO}", VISIT)))[-1].keys() == {
        jobs._parts.visitor
    }


@pytest.mark.parametrize("text", ["", "a b", "x" * 999, f"{'A' * 32} {'b' * 32}", "<b> <i>"])
def test_a_browser_without_an_identity_gets_one(jobs, text):
    (told,) = asyncio.run(told_by(jobs.attach(text, VISIT)))
    browser, tab = told[jobs._parts.visitor]
    assert len(browser) > 10
    assert len(tab) > 10
    assert browser not in text


def event(**values):
    return gr.EventData(None, values)


def test_a_picture_gives_back_its_seed_or_all_of_its_settings(demo, form, jobs, engine):
    _, told = run(jobs, engine, seed="41", model="demo-base", steps=3.0)
    shown = told[-1][jobs._parts.shown]
    assert form.take_seed(event(index=0), shown) == "41"
    everything = named(demo, form.recall(event(index=0), shown, "demo-turbo"))
    assert everything["model"]["value"] == "demo-base"
    assert everything["steps"]["value"] == 3
    assert form.last_seed(shown) == "41"


@pytest.mark.parametrize("index", [1, -1, "0", None, 2**70, 0.5])
def test_a_picture_that_is_not_there_is_not_recalled(form, index):
    with pytest.raises(gr.Error, match="no longer there"):
        form.recall(event(index=index), (), "demo-turbo")
    with pytest.raises(gr.Error, match="no longer there"):
        form.take_seed(event(index=index), ())


@pytest.fixture
def uploads(tmp_path, monkeypatch) -> Path:
    """The folder where a browser's files arrive."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_a_dropped_picture_restores_its_settings_and_says_so(demo, form, jobs, engine, uploads):
    job, _ = run(jobs, engine, seed="5", model="demo-turbo", prompt="a green ring")
    path = uploads / "dropped.png"
    path.write_bytes((engine.settings.output_folder / f"{job}-0.png").read_bytes())
    restored = named(demo, form.restore(event(path=str(path)), "demo-base"))
    assert restored["prompt"]["value"] == "a green ring"
    assert restored["seed"]["value"] == "5"
    assert "a green ring" in restored["dropped"]


def test_no_file_but_an_uploaded_one_is_read(form, jobs, engine, uploads):
    job, _ = run(jobs, engine)
    outside = engine.settings.output_folder / f"{job}-0.png"
    (uploads / "link.png").symlink_to(outside)
    tries = (str(outside), "/etc/passwd", "", ".", str(uploads), f"{uploads}/../outputs", "a\0b")
    for path in (*tries, f"{uploads}/link.png", None, 7, [str(outside)]):
        with pytest.raises(gr.Error, match="did not arrive"):
            form.restore(event(path=path), "demo-base")


def test_a_recipe_for_a_model_that_is_not_here_keeps_the_chosen_one(demo, form):
    recipe = {"version": 1, "request": {"prompt": "x", "model": "elsewhere", "steps": -4}}
    updates = named(demo, form._take_over(recipe, "demo-base"))
    assert updates["model"]["value"] == "demo-base"
    assert "elsewhere" in updates["dropped"]
    assert "-4" in updates["dropped"]


def test_a_picture_without_a_recipe_is_refused_with_a_sentence(form, uploads):
    path = uploads / "a.png"
    path.write_bytes(b"no picture")
    with pytest.raises(gr.Error, match="PNG"):
        form.restore(event(path=str(path)), "demo-base")


def test_a_page_for_others_has_no_settings_and_opens_no_folder(engine, tmp_path):
    guest = built(PageContext(engine=engine, owner=False))
    with pytest.raises(StopIteration):
        handlers_of(guest, SettingsHandlers)
    with pytest.raises(gr.Error, match="only on the computer itself"):
        handlers_of(guest, FormHandlers).choose_model(str(tmp_path), "", "")
    with pytest.raises(gr.Error, match="only on the computer itself"):
        run(handlers_of(guest, JobHandlers), engine, folder=str(tmp_path))


def test_bad_settings_of_the_last_run_are_mentioned(engine):
    noted = built(PageContext(engine=engine, notices=("The theme 'pink' is not known.",)))
    values = [str(getattr(block, "value", "")) for block in noted.blocks.values()]
    assert any("The theme &#x27;pink&#x27; is not known." in value for value in values)


def test_only_the_commands_are_offered_to_other_programs(demo):
    offered = {fn.api_name for fn in demo.fns.values() if fn.api_visibility != "private"}
    assert offered == {"generate", "edit", "inpaint"}
