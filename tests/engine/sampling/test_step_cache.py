"""Which steps reuse what an earlier one computed."""

from __future__ import annotations

import pytest
import torch

from engine.sampling.step_cache import StepCache
from engine.variants.step_saving import ALWAYS_COMPUTED, FIRST_STEPS, LAST_STEPS, MOST_IN_A_ROW

STEPS = 20
REST = torch.full((2, 3, 4), 5.0)


def tokens(value: float, dtype=torch.float32):
    return torch.full((2, 3, 4), value, dtype=dtype)


def walk(cache: StepCache, changes, steps=STEPS) -> list[int]:
    """Go through all steps as a denoiser does; return those that were computed."""
    computed = []
    for step in range(steps):
        change = changes(step)
        if cache.reuse(change, step) is None:
            cache.keep(change, REST)
            computed.append(step)
    return computed


def test_a_step_near_the_last_computed_one_reuses_what_that_added():
    cache = StepCache(0.1, STEPS)
    cache.keep(tokens(1.0), REST)
    assert cache.reuse(tokens(1.05), FIRST_STEPS) is REST
    assert cache.skipped == (FIRST_STEPS,)


@pytest.mark.parametrize("value", [1.1, 1.2, 0.8, -1.0, 0.0])
def test_a_step_as_far_as_the_threshold_is_computed(value):
    cache = StepCache(0.1, STEPS)
    cache.keep(tokens(1.0), REST)
    assert cache.reuse(tokens(value), FIRST_STEPS) is None
    assert cache.skipped == ()


def test_the_distance_is_relative_to_the_change_kept():
    cache = StepCache(0.1, STEPS)
    cache.keep(tokens(100.0), REST)
    assert cache.reuse(tokens(109.0), FIRST_STEPS) is REST
    cache.keep(tokens(0.01), REST)
    assert cache.reuse(tokens(0.02), FIRST_STEPS + 1) is None


def test_a_slow_drift_is_measured_from_the_last_computed_step():
    computed = walk(StepCache(0.25, STEPS), lambda step: tokens(1.0 + 0.1 * step))
    assert FIRST_STEPS + 2 in computed
    assert set(range(STEPS)) - set(computed)


def test_the_first_and_the_last_steps_are_always_computed():
    computed = walk(StepCache(1.0, STEPS), lambda step: tokens(1.0))
    assert computed[:FIRST_STEPS] == list(range(FIRST_STEPS))
    assert computed[-LAST_STEPS:] == list(range(STEPS - LAST_STEPS, STEPS))


def test_no_more_than_a_few_in_a_row_are_saved():
    cache = StepCache(1.0, STEPS)
    walk(cache, lambda step: tokens(1.0))
    rows = "".join("x" if step in cache.skipped else "." for step in range(STEPS)).split(".")
    assert max(map(len, rows)) == MOST_IN_A_ROW
    assert len(cache.skipped) > MOST_IN_A_ROW


@pytest.mark.parametrize("steps", [1, 2, ALWAYS_COMPUTED])
def test_few_steps_are_all_computed(steps):
    assert walk(StepCache(1.0, steps), lambda step: tokens(1.0), steps) == list(range(steps))


def test_where_guidance_ends_the_step_is_computed():
    cache = StepCache(1.0, STEPS)
    cache.keep(tokens(1.0), REST)
    assert cache.reuse(tokens(1.0)[:1], FIRST_STEPS) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_gone_wrong_are_computed_and_so_found_out(bad):
    cache = StepCache(1.0, STEPS)
    cache.keep(tokens(1.0), REST)
    assert cache.reuse(tokens(bad), FIRST_STEPS) is None
    cache.keep(tokens(bad), REST)
    assert cache.reuse(tokens(1.0), FIRST_STEPS + 1) is None


def test_without_any_change_nothing_is_near():
    cache = StepCache(1.0, STEPS)
    cache.keep(tokens(0.0), REST)
    assert cache.reuse(tokens(0.0), FIRST_STEPS) is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_many_small_numbers_are_summed_in_float32(dtype):
    many = torch.ones(1, 400, 400, dtype=dtype)
    cache = StepCache(0.02, STEPS)
    cache.keep(many, REST)
    assert cache.reuse(many * 1.0156, FIRST_STEPS) is REST
    assert cache.reuse(many * 1.0313, FIRST_STEPS + 1) is None


def test_the_tensors_it_is_given_stay_as_they_are():
    cache = StepCache(1.0, STEPS)
    kept, change = tokens(1.0), tokens(1.5)
    cache.keep(kept, REST)
    cache.reuse(change, FIRST_STEPS)
    assert torch.equal(kept, tokens(1.0))
    assert torch.equal(change, tokens(1.5))
