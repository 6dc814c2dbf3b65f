from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from engine.demo.drawing import draw, draw_sketch
from engine.demo.edit_evaluation import MEASURED, evaluation_edits
from engine.demo.edits import (
    EDIT_KINDS,
    EDIT_MIX,
    PLAIN_MIX,
    SHARES,
    Edit,
    Sketch,
    changed_object,
    giver,
    is_unseen,
    reversed_edit,
    sample_edit,
)
from engine.demo.recipe import SIZES
from engine.demo.scenes import (
    FULL,
    Background,
    ShapeObject,
    ShapeScene,
    WorldScene,
    is_held_out,
    sample_scene,
)

ALONE = [kind for kind in EDIT_KINDS if kind != "combine"]


def _edits(kind, count=60, seed=0, mix=EDIT_MIX):
    rng = random.Random(seed)
    return [sample_edit(rng, kind, mix) for _ in range(count)]


def _shape_scenes():
    edits = [edit for kind in EDIT_KINDS for edit in _edits(kind, 100)]
    scenes = [sketch.scene for edit in edits for sketch in (*edit.before, edit.after)]
    return [scene for scene in scenes if isinstance(scene, ShapeScene)]


def _changed_share(edit, size=(128, 128)):
    before, after = (draw_sketch(sketch, *size) for sketch in (edit.before[0], edit.after))
    return float(((before.int() - after.int()).abs().amax(dim=0) > 2).float().mean())


def test_every_kind_has_a_share():
    assert len(SHARES) == len(ALONE)
    assert sum(SHARES) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_the_same_seed_gives_the_same_edits(kind):
    assert _edits(kind, 20) == _edits(kind, 20)
    assert _edits(kind, 20) != _edits(kind, 20, seed=1)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_an_edit_changes_its_picture(kind):
    for edit in _edits(kind, 30):
        assert edit.kind == kind
        assert edit.after not in edit.before
        assert len(edit.after.seeds) == 1 + len(getattr(edit.after.scene, "objects", ()))


@pytest.mark.parametrize("kind", ["recolour", "add", "remove", "replace", "move", "resize"])
def test_what_an_edit_is_not_about_stays_as_it_is(kind):
    for edit in _edits(kind, 30):
        assert 0.0 < _changed_share(edit) < 0.5


def test_a_recoloured_object_keeps_its_outline():
    for edit in _edits("recolour", 20, mix=PLAIN_MIX):
        old, new = changed_object(edit)
        assert replace(old, colour=new.colour) == new
        assert edit.before[0].seeds == edit.after.seeds


def test_a_new_background_leaves_the_objects_alone():
    for edit in _edits("background", 30):
        assert edit.after.scene.objects == edit.before[0].scene.objects
        assert edit.after.seeds[1:] == edit.before[0].seeds[1:]


def test_the_object_that_stays_does_not_move_when_the_other_goes():
    doubles = [e for e in _edits("remove", 200) if len(e.before[0].scene.objects) == 2]
    assert len(doubles) > 20
    for edit in doubles:
        assert edit.after.scene.objects[0] in edit.before[0].scene.objects
        assert _changed_share(edit) < 0.3


def test_no_object_takes_the_color_of_its_background():
    for scene in _shape_scenes():
        assert not {item.colour for item in scene.objects} & set(scene.background.colours)


def test_two_objects_can_be_told_apart():
    for scene in _shape_scenes():
        names = {(item.shape, item.colour) for item in scene.objects}
        assert len(names) == len(scene.objects)


def test_style_and_time_change_nothing_else():
    for edit in _edits("style"):
        before, after = edit.before[0].scene, edit.after.scene
        assert replace(before, style=after.style) == after
    for edit in _edits("time"):
        before, after = edit.before[0].scene, edit.after.scene
        assert replace(before, time=after.time, sky=after.sky) == after
        assert not (before.trees and "sunset" in (before.time, after.time))
        assert all(s.time == "night" for s in (before, after) if s.sky.stars)


def test_a_combined_picture_takes_its_object_and_its_background_from_different_pictures():
    sources = Counter()
    for edit in _edits("combine", 80):
        source = giver(edit)
        sources[source] += 1
        one, other = edit.before[source], edit.before[1 - source]
        assert edit.after.scene.objects == one.scene.objects
        assert edit.after.scene.background == other.scene.background
        assert edit.after.seeds == (other.seeds[0], one.seeds[1])
    assert min(sources[0], sources[1]) > 15


@pytest.mark.parametrize("kind", ALONE)
def test_a_reversed_edit_leads_back(kind):
    for edit in _edits(kind, 20):
        back = reversed_edit(edit)
        assert (back.before[0], back.after) == (edit.after, edit.before[0])
        assert reversed_edit(back) == edit
        assert (kind in ("add", "remove")) == (back.kind != kind)


def test_two_pictures_cannot_be_taken_apart_again():
    with pytest.raises(ValueError, match="cannot be reversed"):
        reversed_edit(_edits("combine", 1)[0])


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_training_never_shows_an_unseen_edit(kind):
    assert not any(is_unseen(edit) for edit in _edits(kind, 300, mix=PLAIN_MIX))


@pytest.mark.parametrize("kind", MEASURED)
def test_what_is_measured_is_unseen(kind):
    edits = [each.edit for each in evaluation_edits(90, seed=4) if each.edit.kind == kind]
    assert len(edits) == 10
    assert all(is_unseen(edit) for edit in edits)


def test_an_edit_is_unseen_for_any_held_out_object_before_a_plain_background():
    circle = ShapeObject("circle", "green", "large", "left")
    scene = ShapeScene(Background("plain", ("blue",)), (circle,))
    assert is_held_out(scene)
    other = ShapeObject("ring", "orange", "medium", "right")
    pair = Sketch(replace(scene, objects=(*scene.objects, other)), (1, 2, 3), crowded=True)
    alone = Sketch(replace(scene, objects=(other,)), (1, 3), crowded=True)
    assert is_unseen(Edit("remove", (pair,), alone))
    striped = replace(scene, background=Background("striped", ("blue", "white")))
    first, second = Sketch(striped, (1, 2)), Sketch(striped, (1, 3))
    assert not is_unseen(Edit("move", (first,), second))


def test_measured_edits_repeat_for_a_seed_and_differ_for_another():
    assert evaluation_edits(18, seed=3) == evaluation_edits(18, seed=3)
    assert evaluation_edits(18, seed=3) != evaluation_edits(18, seed=5)
    assert {each.size for each in evaluation_edits(60, seed=3)} == set(SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_a_scene_and_its_sketch_are_the_same_picture(size):
    rng = random.Random(8)
    for index in range(12):
        scene = sample_scene(rng, FULL)
        if isinstance(scene, WorldScene):
            sketch = Sketch(scene, (index,))
        else:
            numbers = random.Random(index)
            seeds = tuple(numbers.getrandbits(64) for _ in range(1 + len(scene.objects)))
            sketch = Sketch(scene, seeds, crowded=len(scene.objects) == 2)
        drawn = draw(scene, *size, random.Random(index))
        assert torch.equal(draw_sketch(sketch, *size), drawn)
