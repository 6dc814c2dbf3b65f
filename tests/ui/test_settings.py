"""The Settings tab: what is chosen is kept, cleared, moved and shared, and nothing else is."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path

import gradio as gr
import pytest

from engine import Fit, Forecast, Keep, NotFound, Settings, models_folder
from tests.ui.building import built, handlers_of
from tests.ui.tunnels import fake_tunnel
from ui import settings_strings
from ui import sharing_strings as share_words
from ui.components.sharing import qr_markup, share_markup
from ui.context import PageContext
from ui.launch import CACHE
from ui.sharing import Phase, Share, Sharing
from ui.tabs.machine import MachineHandlers
from ui.tabs.settings import FOLDERS, SettingsHandlers
from ui.tabs.sharing import ShareHandlers
from ui.tabs.stores import StoreHandlers, stores_markup

STORED = [field.name for field in fields(Settings) if field.name != "data_dir"]


@pytest.fixture
def settings(page) -> SettingsHandlers:
    return SettingsHandlers(page, dict.fromkeys(STORED))


@pytest.fixture
def values(engine, tmp_path) -> dict[str, object]:
    """What the widgets may hold."""
    return {
        "device": " cpu ",
        "precision": "bf16",
        "vram_gb": 6.5,
        "profile": "4",
        "attention": "flash",
        "file_type": "webp",
        "metadata": False,
        "preview_seconds": 5.0,
        "output_folder": str(tmp_path / "elsewhere"),
        "model_folder": str(tmp_path / "drive"),
        "lora_folder": str(tmp_path / "adapters"),
        "theme": "dark",
        "language": "de",
        "move": False,
    }


def save(settings: SettingsHandlers, values: dict[str, object]) -> list[str]:
    """Return what the page says, one thing after another."""

    async def gather() -> list[str]:
        return [said async for said in settings.save(**values)]

    return asyncio.run(gather())


def test_every_setting_has_a_widget(demo):
    assert set(handlers_of(demo, SettingsHandlers)._fields) == set(STORED)


def test_settings_are_saved_and_only_then_said_to_be(settings, engine, values):
    before = engine.settings
    said = save(settings, values)
    assert len(said) == 1
    assert "Saved" in said[0]
    kept = {**values, "device": "cpu"}
    del kept["move"]
    *shown, _ = settings.show(before)
    assert dict(zip(settings._fields, shown, strict=True)) == kept
    assert engine.settings.metadata is False
    assert (engine.settings.data_dir / "settings.json").exists()


def test_settings_that_are_known_to_the_page_overwrite_no_choice_made_there(settings, engine):
    assert all(value == gr.skip() for value in settings.show(engine.settings))


def test_settings_come_with_the_page_before_a_choice_can_be_made_there(demo):
    folder = handlers_of(demo, SettingsHandlers)._fields["output_folder"]
    bringing = [one for one in demo.fns.values() if folder in one.outputs]
    assert {event for one in bringing for _, event in one.targets} >= {"load", "select"}


def test_an_empty_limit_of_memory_is_none_though_a_browser_sends_zero(settings, engine, values):
    save(settings, {**values, "vram_gb": 0})
    assert engine.settings.vram_gb is None


def test_a_model_folder_that_was_not_touched_stays_the_usual_one(settings, engine, values):
    usual = models_folder(engine.settings.data_dir)
    save(settings, {**values, "model_folder": str(usual)})
    assert engine.settings.model_folder is None


BAD = [
    {"device": "toaster"}, {"precision": "fp4"}, {"vram_gb": float("nan")}, {"vram_gb": -1},
    {"profile": "6"}, {"attention": "xformers"}, {"file_type": "gif"}, {"file_type": None},
    {"metadata": "yes"}, {"preview_seconds": -1}, {"preview_seconds": "often"}, {"theme": "pink"},
    {"language": "fr"}, {"output_folder": "relative/folder"}, {"output_folder": ""},
    {"output_folder": "/a\0b"}, {"lora_folder": "loras"}, {"model_folder": "models"},
    {"theme": ["dark"]}, {"precision": {}}, {"output_folder": f"{__file__}/inside"},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("move", [False, True])
def test_bad_settings_are_refused_and_nothing_changes(settings, engine, values, bad, move):
    before = engine.settings
    with pytest.raises(gr.Error):
        save(settings, {**values, **bad, "move": move})
    assert engine.settings == before


def test_files_move_with_their_folder_if_that_is_wanted(settings, engine, values, tmp_path):
    old = engine.settings.output_folder
    old.mkdir(exist_ok=True)
    (old / "a.png").write_bytes(b"a")
    said = save(settings, {**values, "move": True})
    assert "1 file moved." in said[-1]
    assert (tmp_path / "elsewhere" / "a.png").read_bytes() == b"a"
    assert engine.settings.output_folder == tmp_path / "elsewhere"
    assert not old.exists()


def test_files_stay_where_they_are_if_not(settings, engine, values, tmp_path):
    old = engine.settings.output_folder
    old.mkdir(exist_ok=True)
    (old / "a.png").write_bytes(b"a")
    save(settings, values)
    assert (old / "a.png").exists()


def test_files_that_cannot_move_leave_the_settings_and_say_why(settings, engine, values):
    old = engine.settings.output_folder
    old.mkdir(exist_ok=True)
    (old / "a.png").write_bytes(b"a")
    before = engine.settings
    with pytest.raises(gr.Error, match="lie in each other"):
        save(settings, {**values, "output_folder": str(old / "inside"), "move": True})
    assert engine.settings == before


@pytest.fixture
def stores(page) -> StoreHandlers:
    return StoreHandlers(page)


class Click:
    """What the page tells of a button."""

    def __init__(self, kind: object) -> None:
        self.kind = kind


def test_what_is_kept_is_told_and_cleared_kind_by_kind(stores, engine):
    slab = engine.settings.data_dir / "cache" / "slabs" / "a"
    copy = engine.settings.data_dir / CACHE / "b"
    for path, size in ((slab, 3_000_000), (copy, 2_000_000)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    assert "3.0 MB" in stores.show()
    shown = stores.clear(Click("slabs"))
    assert "3.0 MB freed" in shown
    assert not slab.exists()
    assert copy.exists()


@pytest.mark.parametrize("kind", ["settings", "", None, [], "../data", 7])
def test_nothing_else_can_be_cleared(stores, kind):
    with pytest.raises(gr.Error):
        stores.clear(Click(kind))


def test_every_kind_has_words_and_a_button_that_says_which():
    assert set(settings_strings.KINDS) == {str(kind) for kind in Keep}
    shown = stores_markup(())
    assert "Nothing is kept." in shown


def test_what_automatic_comes_to_is_told(page, engine, monkeypatch):
    told = Forecast(fit=Fit.FITS, needed_bytes=2**31, budget_bytes=2**33, seconds=3.0)
    monkeypatch.setattr(engine, "forecast", lambda request: told)
    shown = MachineHandlers(page).show_chosen()
    assert settings_strings.CHOSEN in shown
    assert "Fits: 2.0 of 8.0 GB" in shown

    def refuse(request):
        raise NotFound("There is no such model.")

    monkeypatch.setattr(engine, "forecast", refuse)
    assert "There is no such model." in MachineHandlers(page).show_chosen()


@pytest.fixture
def shared(engine, tmp_path):
    """A page whose owner can share it."""
    sharing = Sharing(engine, fake_tunnel(tmp_path))
    yield handlers_of(built(PageContext(engine=engine, sharing=sharing)), ShareHandlers)
    sharing.stop()


def start(handlers: ShareHandlers, key: str, hours: object) -> list[dict]:
    async def gather() -> list[dict]:
        return [updates async for updates in handlers.start(key, hours)]

    return asyncio.run(gather())


def shown_in(handlers: ShareHandlers, updates: dict) -> str:
    return updates[handlers._parts.shown]


def test_sharing_shows_link_password_and_code_and_hides_them_when_it_ends(shared):
    told = start(shared, "", 1)
    last = shown_in(shared, told[-1])
    share = shared._sharing.state()
    assert share.phase is Phase.ON
    for text in (share.url, share.password, "guest", "<svg", "No guest is here."):
        assert text in last
    assert told[-1][shared._parts.stop]["visible"]
    ended = asyncio.run(shared.stop())
    assert share.password not in shown_in(shared, ended)
    assert ended[shared._parts.start]["visible"]


@pytest.mark.parametrize(("key", "hours"), [("short", 1), ("", 9), ("", None), ("", float("nan"))])
def test_a_bad_password_or_time_starts_nothing(shared, key, hours):
    with pytest.raises(gr.Error):
        start(shared, key, hours)
    assert shared._sharing.state().phase is Phase.OFF


def test_only_the_owners_page_has_the_card(engine):
    page = PageContext(engine=engine, owner=False)
    with pytest.raises(StopIteration):
        handlers_of(built(page), ShareHandlers)


def test_why_sharing_ended_is_said():
    shown = share_markup(Share(phase=Phase.OFF, note=share_words.ENDED_LOST))
    assert share_words.ENDED_LOST in shown
    assert "note warn" in shown


def test_a_code_is_drawn_dark_on_light_with_a_margin():
    shown = qr_markup("https://abc.gradio.live")
    assert 'viewBox="0 0 33 33"' in shown
    assert "M4 4h1v1h-1z" in shown
    assert share_words.QR in shown


def test_the_folders_that_can_be_named_are_those_of_the_settings():
    names = {field.name for field in fields(Settings) if field.name.endswith("_folder")}
    assert set(FOLDERS) == names
    assert all(isinstance(Path(name), Path) for name in names)
