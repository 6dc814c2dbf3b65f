"""The models of the Settings tab."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest

from engine import Availability, DownloadStatus
from engine.errors import NotFound
from tests.ui.building import built, handlers_of
from tests.ui.fake_catalogue import model
from tests.ui.test_handlers import event
from ui.context import PageContext
from ui.tabs.models import ModelHandlers


@pytest.fixture
def page(engine) -> PageContext:
    return PageContext(engine=engine)


@pytest.fixture
def models(page) -> ModelHandlers:
    return handlers_of(built(page), ModelHandlers)


def plan(models: ModelHandlers, name: str = "de-turbo", precision: str = "bf16"):
    """Ask for the plan of a download; return all that the page was told."""
    return list(models.act(event(act="plan", name=name, precision=precision), None))


def planned(models: ModelHandlers):
    return plan(models)[-1][models._parts.plan]


def panel(models: ModelHandlers, updates) -> str:
    return updates[models._parts.download]


def test_every_model_is_listed_with_where_it_is(models, engine):
    engine.shelves.added["mine"] = model("<b>mine", name="mine", added=True)
    broken = model("old", availability=Availability.DAMAGED, note="old/x is cut short.", added=True)
    engine.shelves.added["old"] = broken
    listed = models.show(None)[models._parts.list]
    for words in (
        "Demo Turbo", "on this computer", "can be fetched", "not available", "published",
        "&lt;b&gt;mine", "Remove from list", "old/x is cut short.",
    ):  # fmt: skip
        assert words in listed
    assert listed.count('data-act="remove"') == 2
    assert listed.count('data-act="plan"') == 1


def test_a_damaged_download_can_be_planned_again(models, engine):
    broken = model("Turbo", name="x", availability=Availability.DAMAGED, note="x is cut short.")
    engine.shelves.added["x"] = broken
    assert models.show(None)[models._parts.list].count('data-act="plan"') == 2


def test_a_plan_says_what_would_happen_and_fetches_nothing(models, engine):
    searching, found = plan(models)
    assert "Looking for files" in panel(models, searching)
    told = panel(models, found)
    for words in (
        "in bf16: 20.7 GB in ", "12.7 GB · https://huggingface.co", "120.0 GB free", "de-turbo",
        "Already here", "8.0 GB", "qwen_3_4b.safetensors", "linked · ", "Download",
    ):  # fmt: skip
        assert words in told
    assert engine.downloads.state().status is DownloadStatus.IDLE


def test_a_plan_for_a_full_disk_says_so_and_cannot_be_started(models, engine, monkeypatch):
    monkeypatch.setattr("engine.hub.plan._free", lambda _folder: 3 * 10**9)
    told = panel(models, plan(models)[-1])
    assert "3.0 GB are free" in told
    assert 'data-act="start"' not in told


@pytest.mark.parametrize("precision", ["fp4", "", None, 7])
def test_an_unknown_precision_is_refused(models, precision):
    with pytest.raises(gr.Error, match="not on offer"):
        plan(models, precision=precision)


def test_a_plan_that_fails_takes_its_notice_away(models, engine, monkeypatch):
    def refuse(*_, **__):
        raise NotFound("There is no model 'x'.")

    monkeypatch.setattr(engine, "plan_download", refuse)
    told = []
    with pytest.raises(gr.Error, match="no model"):
        told.extend(
            updates for updates in models.act(event(act="plan", name="x", precision="bf16"), None)
        )
    asked = models.act(event(act="plan", name="x", precision="bf16"), None)
    assert "Looking" in panel(models, next(asked))
    assert "Looking" not in panel(models, next(asked))


def test_a_search_that_lasts_can_be_stopped(models, engine):
    engine.search.set()
    asked = models.act(event(act="plan", name="de-turbo", precision="bf16"), None)
    assert 'data-act="forget"' in panel(models, next(asked))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(next, asked)
        while not found.done():
            models.steer(event(act="forget"), None)
        assert found.result()[models._parts.plan] is None
        assert panel(models, found.result()) == ""
    assert list(asked) == []


def test_a_download_starts_with_the_click_and_not_before(models, engine):
    found = planned(models)
    told = models.steer(event(act="start"), found)
    assert engine.downloads.state().status is DownloadStatus.RUNNING
    assert told[models._parts.plan] is None
    assert "Downloading Z-Image-De-Turbo" in panel(models, told)
    assert "data-running" in panel(models, told)


def test_a_start_without_a_plan_fetches_nothing(models, engine):
    models.steer(event(act="start"), None)
    assert engine.downloads.state().status is DownloadStatus.IDLE


def test_a_running_download_shows_bytes_speed_and_time(models, engine):
    models.steer(event(act="start"), planned(models))
    engine.downloads.reach(4 * 10**9, 12 * 10**9)
    told = panel(models, models.show(None))
    for words in ("4.00 of 12.00 GB", "45.2 MB/s", "about 3 min left", 'value="4000000000"'):
        assert words in told
    assert "transformer/&lt;x&gt;.safetensors" in told


def test_a_page_that_is_loaded_later_sees_the_same_download(models, engine, page):
    models.steer(event(act="start"), planned(models))
    later = handlers_of(built(page), ModelHandlers)
    assert "Downloading" in panel(later, later.show(None))


def test_a_download_is_paused_resumed_and_stopped(models, engine):
    models.steer(event(act="start"), planned(models))
    engine.downloads.reach(10**9, 2 * 10**9)
    told = panel(models, models.steer(event(act="pause"), None))
    assert 'data-act="resume"' in told
    assert "data-running" not in told
    assert 'data-act="pause"' in panel(models, models.steer(event(act="resume"), None))
    told = panel(models, models.steer(event(act="cancel"), None))
    assert "Nothing half is left" in told
    assert "data-act" not in told


def test_a_failed_download_gives_its_sentence_and_can_be_tried_again(models, engine):
    models.steer(event(act="start"), planned(models))
    engine.downloads.fail("The server <closed> the line.", "Try again later.")
    told = panel(models, models.show(None))
    assert "The server &lt;closed&gt; the line. Try again later." in told
    assert "Try again<" in told
    assert 'data-act="cancel"' in told
    models.steer(event(act="resume"), None)
    assert engine.downloads.state().status is DownloadStatus.RUNNING


def test_a_second_download_is_refused_and_the_plan_stays(models, engine):
    first, second = planned(models), planned(models)
    models.steer(event(act="start"), first)
    with pytest.raises(gr.Error, match="is being downloaded"):
        models.steer(event(act="start"), second)
    told = panel(models, models.steer(event(act="forget"), second))
    assert "Never mind" not in told
    assert "Downloading" in told


def test_a_model_is_in_the_list_as_soon_as_its_download_is_done(models, engine, page):
    models.steer(event(act="start"), planned(models))
    assert not page.has_model("de-turbo")
    before = page.shelf.stamp()
    engine.shelves.fetched.add("de-turbo")
    engine.downloads.finish()
    assert "Pick it on the Generate tab" in panel(models, models.show(None))
    assert page.has_model("de-turbo")
    assert page.shelf.stamp() != before


def test_a_file_of_ones_own_is_added_and_removed(models, engine, page, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.touch()
    assert "mine.safetensors" not in models.show(None)[models._parts.list]
    told = models.add(f' "{path}" ')
    assert told[models._parts.path] == ""
    assert "mine.safetensors" in told[models._parts.list]
    assert page.has_model("mine.safetensors")
    (told,) = models.act(event(act="remove", name="mine.safetensors", precision=""), None)
    assert "mine.safetensors" not in told[models._parts.list]
    assert path.exists()


@pytest.mark.parametrize(("path", "fault"), [("", "empty"), ("/nowhere/<b>", "no file /nowhere")])
def test_a_path_that_is_no_model_is_refused(models, path, fault):
    with pytest.raises(gr.Error, match=fault):
        models.add(path)


def test_visitors_have_no_list_of_models_and_start_nothing(engine):
    guest = built(PageContext(engine=engine, owner=False))
    with pytest.raises(StopIteration):
        handlers_of(guest, ModelHandlers)
