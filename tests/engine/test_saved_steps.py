"""A job with saved steps counts what it computed, and says in every place what it did not."""

from __future__ import annotations

import pytest
from PIL import Image

from engine.images.metadata import read_recipe
from engine.request import Request
from engine.variants import by_name
from tests.engine.inject import Told

STEPS = 12

pytestmark = pytest.mark.skipif(
    not by_name("demo-base").folder.is_dir(), reason="the Demo models are not in this tree"
)


def ask(**values) -> Request:
    small = {
        "prompt": "a red circle", "model": "demo-base", "seed": 1, "steps": STEPS, "width": 128,
        "height": 128,
    }  # fmt: skip
    return Request(device="cpu", precision="fp32", **{**small, **values})


def test_saved_steps_are_counted_and_named(bench):
    told = Told()
    result = bench.run(ask(step_cache=0.2), told, name="a.png")
    assert 0 < len(result.skipped) < STEPS
    assert result.nfe == 2 * (STEPS - len(result.skipped))
    named = ", ".join(str(step + 1) for step in result.skipped)
    assert result.plan.endswith(f"; steps {named} of {STEPS} reuse most of an earlier one")
    assert read_recipe(bench.folder / "a.png")["plan"] == result.plan
    assert told.warnings == []


def test_a_picture_of_many_saves_the_steps_that_it_saves_alone(bench):
    small = {"prompt": "a red circle on a blue background", "steps": 16, "width": 64, "height": 64}
    many = bench.run(ask(step_cache=0.09, seed=8, count=2, **small))
    plans = []
    for seed, picture in zip((8, 9), many.pictures, strict=True):
        alone = bench.run(ask(step_cache=0.09, seed=seed, **small))
        assert Image.open(picture.path).tobytes() == Image.open(alone.pictures[0].path).tobytes()
        plans.append(read_recipe(picture.path)["plan"].partition("steps")[2])
        assert plans[-1] == alone.plan.partition("steps")[2] != ""
    assert plans[0] != plans[1]


def test_without_the_option_every_step_is_computed(bench):
    result = bench.run(ask())
    assert (result.skipped, result.nfe) == ((), 2 * STEPS)
    assert "reuse" not in result.plan


def test_a_model_of_few_steps_ignores_the_option_and_says_so(bench):
    told = Told()
    turbo = ask(model="demo-turbo", step_cache=0.5)
    result = bench.run(turbo, told, name="b.png")
    assert (result.skipped, result.nfe) == ((), STEPS)
    assert [warning for warning in told.warnings if warning.startswith("step_cache is ignored.")]
    assert bench.paint(turbo) == bench.paint(turbo.with_values(step_cache=0.0))


def test_guidance_that_ends_early_is_counted_as_it_is_computed(bench):
    result = bench.run(ask(cfg_truncation=0.4))
    assert STEPS < result.nfe < 2 * STEPS
