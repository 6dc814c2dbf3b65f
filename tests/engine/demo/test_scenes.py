from __future__ import annotations

import random
from collections import Counter

import pytest

from engine.demo.evaluation import evaluation_prompts
from engine.demo.scenes import (
    COLOUR_NAMES,
    EASY,
    FULL,
    SHAPES,
    Background,
    ShapeObject,
    ShapeScene,
    WorldScene,
    is_held_out,
    sample_scene,
)


def _sampled(count, mix, seed=0):
    rng = random.Random(seed)
    return [sample_scene(rng, mix) for _ in range(count)]


def _all_plain_scenes():
    return [
        ShapeScene(Background("plain", (ground,)), (ShapeObject(shape, colour, "large", "left"),))
        for shape in SHAPES
        for colour in COLOUR_NAMES
        for ground in COLOUR_NAMES
        if colour != ground
    ]


def test_the_same_seed_gives_the_same_scenes():
    assert _sampled(50, FULL) == _sampled(50, FULL)
    assert _sampled(50, FULL) != _sampled(50, FULL, seed=1)


@pytest.mark.parametrize("mix", [EASY, FULL])
def test_the_shares_of_a_mix_are_kept(mix):
    scenes = _sampled(4000, mix)
    shapes = [scene for scene in scenes if isinstance(scene, ShapeScene)]
    kinds = Counter(scene.background.kind for scene in shapes)
    counts = Counter(len(scene.objects) for scene in shapes)
    assert 1 - len(shapes) / len(scenes) == pytest.approx(mix.world, abs=0.03)
    assert kinds["plain"] / len(shapes) == pytest.approx(mix.backgrounds[0], abs=0.04)
    assert counts[1] / len(shapes) == pytest.approx(mix.objects[1], abs=0.04)


def test_no_object_has_a_colour_of_its_background():
    for scene in _sampled(2000, FULL):
        if isinstance(scene, ShapeScene):
            assert not {item.colour for item in scene.objects} & set(scene.background.colours)


def test_two_objects_lie_beside_or_above_one_another():
    relations = Counter(
        (scene.relation, tuple(item.place for item in scene.objects))
        for scene in _sampled(2000, FULL)
        if isinstance(scene, ShapeScene) and len(scene.objects) == 2
    )
    assert set(relations) == {
        ("left-right", ("left", "right")),
        ("above-below", ("top", "bottom")),
    }


def test_boats_float_and_houses_stand_on_land():
    worlds = [scene for scene in _sampled(4000, FULL) if isinstance(scene, WorldScene)]
    assert all(scene.ground in ("sea", "bay") for scene in worlds if scene.boat)
    assert all(scene.ground != "sea" for scene in worlds if scene.house or scene.trees)
    assert all(scene.time == "night" for scene in worlds if scene.sky.stars)


def test_nothing_stands_before_the_light_or_the_boat():
    for scene in _sampled(4000, FULL):
        if isinstance(scene, WorldScene):
            sides = [thing.side for thing in (scene.house, scene.boat) if thing]
            sides += [scene.sky.light] if scene.sky.light else []
            assert len(set(sides)) == len(sides)


def test_training_never_shows_a_held_out_combination():
    assert not any(is_held_out(scene) for scene in _sampled(6000, EASY))


def test_one_combination_in_ten_is_held_out_and_the_choice_never_changes():
    scenes = _all_plain_scenes()
    held_out = [scene for scene in scenes if is_held_out(scene)]
    assert len(scenes) == 8 * 12 * 11
    assert len(held_out) == 107
    first = held_out[0]
    assert (first.objects[0].shape, first.objects[0].colour, first.background.colours) == (
        "circle",
        "green",
        ("blue",),
    )


def test_what_is_held_out_does_not_depend_on_size_or_place():
    for scene in _all_plain_scenes()[::7]:
        item = scene.objects[0]
        moved = ShapeObject(item.shape, item.colour, "small", "bottom right")
        assert is_held_out(ShapeScene(scene.background, (moved,))) == is_held_out(scene)


def test_textured_and_doubled_scenes_are_never_held_out():
    held_out = next(scene for scene in _all_plain_scenes() if is_held_out(scene))
    item = held_out.objects[0]
    assert not is_held_out(ShapeScene(held_out.background, (item, item)))
    assert not is_held_out(ShapeScene(Background("striped", ("red", "blue")), (item,)))


def test_every_evaluation_prompt_asks_for_an_unseen_combination():
    prompts = evaluation_prompts(96, seed=1)
    assert len(prompts) == 96
    for prompt in prompts:
        item = prompt.scene.objects[0]
        assert is_held_out(prompt.scene)
        assert item.size in ("medium", "large")
        assert item.shape in prompt.text
        assert f" {item.colour} " in prompt.text
        assert f" {prompt.scene.background.colours[0]} background" in prompt.text


def test_evaluation_prompts_are_balanced():
    items = [prompt.scene.objects[0] for prompt in evaluation_prompts(96, seed=2)]
    shapes = Counter(item.shape for item in items)
    colours = Counter(item.colour for item in items)
    places = Counter(item.place for item in items)
    assert set(shapes.values()) == {12}
    assert max(colours.values()) - min(colours.values()) <= 3
    assert max(places.values()) - min(places.values()) <= 1


def test_evaluation_prompts_repeat_for_a_seed_and_differ_for_another():
    assert evaluation_prompts(20, seed=3) == evaluation_prompts(20, seed=3)
    assert evaluation_prompts(20, seed=3) != evaluation_prompts(20, seed=4)


def test_an_orange_object_gets_the_right_article():
    texts = [prompt.text for prompt in evaluation_prompts(200, seed=5)]
    assert any(text.startswith("an orange ") for text in texts)
    assert not any(" a orange" in text or text.startswith("a orange") for text in texts)
