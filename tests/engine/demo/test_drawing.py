from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
import torch

from engine.demo.drawing import draw
from engine.demo.palette import COLOURS
from engine.demo.scenes import (
    FULL,
    PLACES,
    SHAPES,
    Background,
    Boat,
    House,
    ShapeObject,
    ShapeScene,
    Sky,
    Trees,
    WorldScene,
    sample_scene,
)

SIZES = [(128, 128), (160, 96), (96, 160), (144, 112), (112, 144), (256, 256)]
STYLES = ["flat", "watercolor", "pixel art"]
HEART = ShapeScene(Background("plain", ("white",)), (ShapeObject("heart", "red", "large", "left"),))
BAY = WorldScene(
    "sunset",
    "bay",
    "green",
    "flat",
    Sky("left", stars=False, clouds=True),
    House("red", "right"),
    Boat("white", "center"),
    Trees("pine", several=True),
)


def _drawn(scene, seed=0, size=(128, 128)):
    return draw(scene, *size, random.Random(seed))


def _share_changed(first, second):
    return float(((first.int() - second.int()).abs().amax(dim=0) > 12).float().mean())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("style", STYLES)
def test_a_landscape_fills_any_size_in_every_style(size, style):
    picture = _drawn(replace(BAY, style=style), size=size)
    assert picture.shape == (3, size[1], size[0])
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()
    assert float(picture.float().std()) > 20


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_stays_whole_at_any_size_and_place(size, shape):
    for seed, place in enumerate(PLACES):
        item = ShapeObject(shape, "black", "large", place)
        picture = _drawn(ShapeScene(Background("plain", ("white",)), (item,)), seed, size)
        dark = picture.float().mean(dim=0) < 180
        assert dark.any()
        assert not torch.cat((dark[0], dark[-1], dark[:, 0], dark[:, -1])).any()


@pytest.mark.parametrize("size", SIZES)
def test_two_objects_never_touch(size):
    for seed, (first, second) in enumerate((("left", "right"), ("top", "bottom")) * 4):
        items = (
            ShapeObject("star", "black", "medium", first),
            ShapeObject("star", "black", "medium", second),
        )
        picture = _drawn(ShapeScene(Background("plain", ("white",)), items), seed, size)
        dark = picture.float().mean(dim=0) < 180
        used = dark.any(dim=0 if first == "left" else 1)
        assert int((used[1:] & ~used[:-1]).sum()) == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_even_a_small_shape_is_thirty_pixels_across(shape):
    item = ShapeObject(shape, "black", "small", "center")
    for seed in range(5):
        picture = _drawn(ShapeScene(Background("plain", ("white",)), (item,)), seed)
        dark = picture.float().mean(dim=0) < 180
        assert max(int(dark.any(dim=0).sum()), int(dark.any(dim=1).sum())) >= 30


def test_every_kind_of_scene_can_be_drawn():
    rng = random.Random(7)
    for _ in range(150):
        picture = draw(sample_scene(rng, FULL), 96, 64, rng)
        assert picture.shape == (3, 64, 96)


def test_the_same_seed_draws_the_same_picture():
    for scene in (HEART, *(replace(BAY, style=style) for style in STYLES)):
        assert torch.equal(_drawn(scene, 3), _drawn(scene, 3))
        assert not torch.equal(_drawn(scene, 3), _drawn(scene, 4))


@pytest.mark.parametrize("size", [(0, 128), (128, 100), (128, -16), (8, 8)])
def test_a_size_that_is_no_multiple_of_16_is_refused(size):
    with pytest.raises(ValueError, match="multiples of 16"):
        _drawn(HEART, size=size)


def test_a_new_colour_leaves_the_outline_where_it_was():
    blue = replace(HEART, objects=(replace(HEART.objects[0], colour="blue"),))
    red_picture, blue_picture = _drawn(HEART), _drawn(blue)
    white = torch.tensor(COLOURS["white"]).view(3, 1, 1)

    def inside(picture):
        return (picture.int() - white).abs().amax(dim=0) > 60

    differing = (inside(red_picture) != inside(blue_picture)).float().mean()
    assert float(differing) < 0.01


def test_a_new_background_leaves_the_object_as_it_was():
    striped = replace(HEART, background=Background("striped", ("cyan", "green")))
    first, second = _drawn(HEART), _drawn(striped)
    red = (first.int() - torch.tensor(COLOURS["red"]).view(3, 1, 1)).abs().amax(dim=0) < 12
    assert int(red.sum()) > 1000
    assert torch.equal(first[:, red], second[:, red])


def test_taking_the_boat_away_changes_only_the_water():
    without = replace(BAY, boat=None, trees=None)
    with_boat = replace(BAY, trees=None)
    first, second = _drawn(without), _drawn(with_boat)
    assert 0.01 < _share_changed(first, second) < 0.15
    assert torch.equal(first[:, 108:], second[:, 108:])
    assert torch.equal(first[:, :, :32], second[:, :, :32])


@pytest.mark.parametrize(
    "change",
    [
        {"time": "night"},
        {"time": "day"},
        {"ground": "mountains", "boat": None},
        {"land": "snowy"},
        {"style": "watercolor"},
        {"style": "pixel art"},
        {"sky": Sky("left", stars=False, clouds=False)},
        {"sky": Sky(None, stars=False, clouds=True)},
        {"house": None},
        {"house": House("blue", "right")},
        {"boat": Boat("orange", "center")},
        {"trees": Trees("round", several=True)},
        {"trees": None},
    ],
)
def test_everything_a_landscape_names_can_be_seen(change):
    assert _share_changed(_drawn(BAY), _drawn(replace(BAY, **change))) > 0.004


@pytest.mark.parametrize("time_of_day", ["day", "sunset", "night"])
def test_the_sun_or_the_moon_can_be_seen(time_of_day):
    dark = replace(BAY, time=time_of_day, sky=Sky(None, stars=False, clouds=False))
    lit = replace(dark, sky=Sky("left", stars=False, clouds=False))
    assert _share_changed(_drawn(dark)[:, :58], _drawn(lit)[:, :58]) > 0.02


def test_stars_can_be_seen_at_night():
    night = replace(BAY, time="night", sky=Sky("left", stars=False, clouds=False))
    starry = replace(night, sky=Sky("left", stars=True, clouds=False))
    assert _share_changed(_drawn(night)[:, :50], _drawn(starry)[:, :50]) > 0.004


def test_night_is_darker_than_sunset_and_sunset_than_day():
    def brightness(time_of_day):
        scene = replace(BAY, time=time_of_day)
        return float(torch.stack([_drawn(scene, seed).float() for seed in range(6)]).mean())

    assert brightness("night") + 30 < brightness("sunset") < brightness("day") - 15


def test_pixel_art_is_made_of_squares_of_four():
    picture = _drawn(replace(BAY, style="pixel art"))
    squares = picture.unfold(1, 4, 4).unfold(2, 4, 4)
    assert torch.equal(squares.amin(dim=(3, 4)), squares.amax(dim=(3, 4)))
    assert len(torch.unique(picture.flatten(1), dim=1)[0]) <= 24


def test_a_watercolour_leaves_bare_paper_at_the_rim():
    picture = _drawn(replace(BAY, style="watercolor")).float()
    assert float(picture[:, 0].mean()) > 225
    assert float(picture[:, 60:68, 60:68].mean()) < 215


@pytest.mark.slow
@pytest.mark.parametrize(("world", "least"), [(0.0, 300), (1.0, 150)])
def test_drawing_keeps_up_with_training(world, least):
    rng = random.Random(0)
    scenes = [sample_scene(rng, replace(FULL, world=world)) for _ in range(100)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    for scene in scenes:
        draw(scene, 128, 128, rng)
    spent = time.process_time() - start
    torch.set_num_threads(threads)
    assert len(scenes) / spent >= least
