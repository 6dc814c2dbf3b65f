"""Full presets, a model's own defaults and shapes: kept, found, replaced and removed."""

from __future__ import annotations

import json

import pytest

from engine.errors import BadRequest, NotFound
from engine.presets import Presets
from engine.presets.full import DEFAULTS, KEPT
from engine.request import Request
from engine.variants import by_name

CHOSEN = Request(
    prompt="a fox",
    negative="fog",
    model="base",
    steps=33,
    guidance_scale=3.5,
    width=832,
    height=1248,
    seed=7,
    cfg_normalization=1.0,
    loras=[{"name": "ink.safetensors", "weight": 0.5}],
).to_json()


@pytest.fixture
def presets(tmp_path):
    return Presets(tmp_path)


def test_the_programs_presets_are_whole():
    found, notices = Presets().full
    assert len(found) >= 8
    assert notices == ()
    assert all(preset.notices == () and preset.note for preset in found)
    titles = {style.title for style in Presets().styles[0]}
    for preset in found:
        assert preset.style is None or preset.style in titles
        variant = by_name(str(preset.settings["model"]))
        low, high = variant.limits.steps
        assert low <= preset.settings["steps"] <= high
        low, high = variant.limits.pixels
        assert low <= preset.settings["width"] * preset.settings["height"] <= high
        Request.from_json({"prompt": "", **preset.settings})


def test_a_preset_is_kept_and_found_with_everything_but_the_seed(presets):
    kept = presets.keep("My fox", CHOSEN, "Macro")
    found = presets.preset("My fox")
    assert found == kept
    assert found.style == "Macro"
    assert found.settings == {name: CHOSEN[name] for name in KEPT if CHOSEN[name] is not None}
    assert "seed" not in found.settings
    assert presets.is_own("My fox")


def test_a_preset_of_the_same_title_is_replaced(presets):
    presets.keep("My fox", CHOSEN)
    presets.keep(" My fox ", {**CHOSEN, "steps": 12})
    assert [preset.title for preset in presets.full[0]].count("My fox") == 1
    assert presets.preset("My fox").settings["steps"] == 12


def test_titles_that_differ_only_in_signs_are_kept_apart(presets):
    for title in ("a/b", "a:b", "A/B", "../../a", "con", "狐"):
        presets.keep(title, CHOSEN)
        assert presets.preset(title).title == title
    assert sum(map(presets.is_own, ("a/b", "a:b", "A/B", "../../a", "con", "狐"))) == 6


def test_presets_stay_in_their_folder(presets, tmp_path):
    presets.keep("../../../outside", CHOSEN)
    presets.keep_defaults("../../x", CHOSEN)
    folders = {path.parent for path in tmp_path.rglob("*.json")}
    assert folders == {tmp_path / "presets" / "full", tmp_path / "presets" / "defaults"}
    assert not list(tmp_path.parent.glob("*.json"))


@pytest.mark.parametrize("title", ["", "  ", "x" * 81, "a\nb", "\u202e"])
def test_a_title_that_cannot_be_shown_is_refused(presets, title):
    with pytest.raises(BadRequest, match="short name"):
        presets.keep(title, CHOSEN)


def test_a_prompt_too_long_for_a_preset_is_refused(presets):
    with pytest.raises(BadRequest, match="Shorten its prompt"):
        presets.keep("long", {**CHOSEN, "prompt": "x" * 70_000})
    assert not presets.is_own("long")


def test_only_own_presets_can_be_removed(presets):
    presets.keep("My fox", CHOSEN)
    presets.remove("My fox")
    assert not presets.is_own("My fox")
    for title in ("My fox", presets.full[0][0].title):
        with pytest.raises(NotFound):
            presets.remove(title)


def test_a_model_has_its_own_defaults_and_no_other_models(presets):
    presets.keep_defaults("base", CHOSEN)
    found, notices = presets.defaults("base")
    assert notices == ()
    assert found == {n: CHOSEN[n] for n in DEFAULTS if CHOSEN[n] is not None}
    assert not {"prompt", "model", "seed", "loras"} & found.keys()
    assert presets.defaults("turbo") == ({}, ())


def test_own_defaults_can_be_forgotten(presets):
    presets.keep_defaults("base", CHOSEN)
    assert presets.forget_defaults("base")
    assert presets.defaults("base") == ({}, ())
    assert not presets.forget_defaults("base")


def test_damaged_defaults_are_none_and_told(presets, tmp_path):
    presets.keep_defaults("base", CHOSEN)
    (path,) = (tmp_path / "presets" / "defaults").iterdir()
    path.write_text("{")
    found, (notice,) = presets.defaults("base")
    assert found == {}
    assert path.name[:20] in notice


def test_a_guest_has_the_programs_presets_and_keeps_none():
    guest = Presets()
    assert guest.full[0]
    assert not guest.is_own("x")
    assert guest.defaults("base") == ({}, ())
    with pytest.raises(BadRequest):
        guest.keep("x", CHOSEN)
    with pytest.raises(BadRequest):
        guest.keep_defaults("base", CHOSEN)
    with pytest.raises(NotFound):
        guest.remove("x")


def test_unknown_styles_and_presets_are_named(presets):
    with pytest.raises(NotFound, match="'Nope'"):
        presets.style("Nope")
    with pytest.raises(NotFound, match="'Nope'"):
        presets.preset("Nope")


def test_the_programs_shapes_are_whole_and_a_users_own_joins(presets, tmp_path):
    shapes, notices = Presets().shapes
    assert len(shapes) >= 20
    assert notices == ()
    assert len({shape.title for shape in shapes}) == len(shapes)
    assert all(1 / 4 <= shape.width / shape.height <= 4 for shape in shapes)
    folder = tmp_path / "presets" / "sizes"
    folder.mkdir(parents=True)
    listed = [{"title": "Door", "width": 80, "height": 200}, {"title": "Bad", "width": -1}]
    (folder / "mine.json").write_text(json.dumps({"group": "Own", "shapes": listed}))
    found, (notice,) = presets.shapes
    assert len(found) == len(shapes) + 1
    assert "mine.json" in notice
