"""What a browser tab kept of the forms comes back, and is checked as any request."""

from __future__ import annotations

import json

import pytest

from tests.ui.building import built, handlers_of
from tests.ui.fake_catalogue import FakeCatalogue
from tests.ui.test_handlers import fields, named
from ui.context import PageContext
from ui.tabs.keeping import Keeping


@pytest.fixture
def keeping(demo) -> Keeping:
    return handlers_of(demo, Keeping)


def restored(keeping: Keeping, **forms: object) -> dict[str, object]:
    updates = named(None, keeping.restore(json.dumps(forms)))
    return {name: told.get("value") if isinstance(told, dict) else told
            for name, told in updates.items()}  # fmt: skip


def test_every_form_comes_back_as_it_was(keeping, engine):
    main = fields(engine, "demo-turbo", prompt="two cats", seed="12345678901234567890", steps=5)
    main = {**main, "seed": "1234567890123456789", "long_prompt": "full"}
    edit = {**fields(engine, prompt="make it red"), "strength": 0.25, "task": "redraw"}
    found = restored(keeping, generate=main, edit=edit)
    assert (found["prompt"], found["model"], found["steps"]) == ("two cats", "demo-turbo", 5)
    assert found["seed"] == "1234567890123456789"
    assert found["long-prompt"] == "full"
    assert (found["edit-prompt"], found["edit-strength"]) == ("make it red", 0.25)
    assert found["edit-task"] == "redraw"
    assert "inpaint-prompt" not in found


def test_a_fresh_page_begins_with_the_defaults_of_now(keeping, engine):
    engine.presets.keep_defaults("demo-turbo", {"steps": 5})
    assert restored(keeping)["steps"] == 5
    kept = fields(engine, "demo-turbo", steps=7)
    assert restored(keeping, generate=kept)["steps"] == 7


def test_pictures_and_masks_are_not_taken_from_there(keeping, engine):
    stolen = {**fields(engine), "images": ("input:x",), "mask": "/etc/passwd"}
    found = restored(keeping, edit=stolen, inpaint=stolen)
    assert not {"edit-pictures", "inpaint-painter", "inpaint-images"} & found.keys()


@pytest.mark.parametrize("change", [{"steps": -1}, {"model": "gone"}, {"loras": "[7]"}])
def test_one_bad_value_costs_no_words(keeping, engine, change):
    found = restored(keeping, generate=fields(engine, prompt="two cats") | change)
    assert {name: value for name, value in found.items() if value} == {"prompt": "two cats"}


@pytest.mark.parametrize(
    "text",
    ["", "null", "7", "[" * 9000, '{"generate": 7}', '{"other": {}}', '{"generate": {"prompt": 7}}',
     json.dumps({"generate": {"prompt": "x" * 900_000}}), None,
     '{"generate": {"prompt": ["a"], "model": {"b": 1}, "sampler": [], "fill": {}, "seed": {}}}'],
)  # fmt: skip
def test_what_no_browser_keeps_changes_nothing(keeping, text):
    found = named(None, keeping.restore(text))
    assert found.keys() == {"loras", "edit-loras", "inpaint-loras"}
    assert {(told["value"], told["panel"]) for told in found.values()} == {("", "")}


def test_a_guest_opens_no_file_by_what_is_kept(engine, tmp_path, monkeypatch):
    guest, looked = handlers_of(built(PageContext(engine=engine, owner=False)), Keeping), []
    monkeypatch.setattr(FakeCatalogue, "look", lambda _, name: looked.append(name))
    kept = {**fields(engine, prompt="two cats"), "model": str(tmp_path)}
    found = restored(guest, generate=kept)
    assert looked == []
    assert {name: value for name, value in found.items() if value} == {"prompt": "two cats"}
