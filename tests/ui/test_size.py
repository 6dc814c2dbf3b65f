"""Shapes, megapixels and sides."""

from __future__ import annotations

import pytest

from engine import Request
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
