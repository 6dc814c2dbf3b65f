"""Shapes, megapixels and sides."""

from __future__ import annotations

import pytest

from engine import BadRequest, Presets, Request
from engine.variants import VARIANTS, by_name
from ui import strings
from ui.components import size


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_shape_at_the_standard_has_the_sides_of_its_preset(variant):
    for preset in variant.sizes:
        assert size.sides(variant, preset.label, 1.0) == (preset.width, preset.height)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
@pytest.mark.parametrize("megapixels", size.MEGAPIXELS)
def test_every_choice_is_a_size_that_the_engine_takes(variant, megapixels):
    for preset in variant.sizes:
        width, height = size.sides(variant, preset.label, megapixels)
        Request(prompt="x", width=width, height=height)


def test_more_megapixels_keep_the_shape():
    assert size.sides(by_name("base"), "Wide 16:9", 4.0) == (2560, 1440)
    assert size.sides(by_name("base"), "Square 1:1", 0.25) == (512, 512)


def test_a_size_of_ones_own_belongs_to_no_shape():
    base = by_name("base")
    assert size.sides(base, strings.CUSTOM, 1.0) is None
    assert size.shape_of(base, 1040, 1024, 1.0) == strings.CUSTOM
    assert size.shape_of(base, 720, 1280, 1.0) == "Tall 9:16"
    assert size.shape_of(base, None, float("nan"), 1.0) == strings.CUSTOM


def test_a_demo_model_offers_one_size_and_a_full_one_several():
    assert size.megapixel_choices(by_name("demo-turbo")) == [1.0]
    assert size.megapixel_choices(by_name("turbo")) == [0.25, 0.5, 1.0, 2.0, 4.0]


SHAPES = Presets().shapes[0]


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("5:4", 1.25), ("16 x 9", 16 / 9), ("2.39:1", 2.39), ("1/2", 0.5), ("3×2", 1.5),
     ("A4 upright", 210 / 297)],
)  # fmt: skip
def test_a_shape_is_named_or_written_as_two_numbers(text, ratio):
    assert size.ratio_of(text, SHAPES) == pytest.approx(ratio)


@pytest.mark.parametrize(
    "text",
    ["", "5", "a:b", "0:1", "1:0", "1:11", "-1:2", "1e9:1", "5:4:3", "9" * 9 + ":1", "NaN:1"],
)
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(BadRequest, match="5:4"):
        size.ratio_of(text, SHAPES)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.title)
def test_every_shape_fits_every_model_in_sides_that_it_can_paint(variant, shape):
    ratio = shape.width / shape.height
    for megapixels in size.megapixel_choices(variant):
        width, height = size.fitting(variant, ratio, megapixels)
        Request(prompt="x", width=width, height=height)
        usual = variant.sizes[0]
        assert width * height == pytest.approx(usual.width * usual.height * megapixels, rel=0.25)
    least = 0.2 if usual.width < 512 else 0.05
    assert width / height == pytest.approx(ratio, rel=least)


def test_sizes_beyond_the_training_are_warned_of_and_others_are_not():
    base, demo = by_name("base"), by_name("demo-turbo")
    assert size.note_markup(base, 1024, 1024) == ""
    assert "512 × 512 to 2048 × 2048" in size.note_markup(base, 256, 256)
    assert "3072 × 3072" in size.note_markup(base, 3072, 3072)
    assert size.note_markup(base, 4096, 512) != ""
    assert "128 × 256" in size.note_markup(demo, 128, 256)
    for variant in VARIANTS:
        for preset in variant.sizes:
            assert size.note_markup(variant, preset.width, preset.height) == ""


@pytest.mark.parametrize("side", [None, float("nan"), float("inf")])
def test_a_side_that_is_none_is_not_warned_of(side):
    assert size.note_markup(by_name("base"), side, 1024) == ""
