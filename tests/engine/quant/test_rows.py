"""Weights are rounded as optimum-quanto rounds them, tokens each with a scale of its own."""

from __future__ import annotations

import pytest
import torch
from optimum.quanto import AbsmaxOptimizer, qint8, quantize_weight

from engine.quant.rows import is_finite, quantise_rows, quantise_tokens, whole_tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_bit_for_bit_those_of_quanto(dtype):
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    scale = AbsmaxOptimizer()(weight, qint8, 0)
    theirs = quantize_weight(weight, qint8, 0, scale, optimized=False)
    ours = quantise_rows(weight)
    assert torch.equal(ours.values, theirs._data)
    assert torch.equal(ours.scales, theirs._scale.flatten())
    assert ours.scales.dtype is dtype


def test_a_row_of_zeros_stays_zero():
    rows = quantise_rows(torch.zeros(2, 8))
    assert not rows.values.any()
    assert not rows.scales.any()


def test_rows_of_tiny_float16_numbers_keep_their_digits():
    weight = (torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * 1e-4).half()
    rows = quantise_rows(weight)
    assert rows.scales.dtype is torch.float32
    back = rows.values.float() * rows.scales[:, None]
    assert (back - weight.float()).norm() / weight.float().norm() < 0.01


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_shows_in_the_scale(bad):
    weight = torch.ones(3, 8)
    weight[1, 5] = bad
    assert quantise_rows(weight).scales.isfinite().tolist() == [True, False, True]
    assert quantise_tokens(weight)[1].flatten().isfinite().tolist() == [True, False, True]
    assert not is_finite(weight)


def test_very_large_numbers_are_finite_though_their_sum_is_not():
    assert is_finite(torch.full((4, 4), 3e38))


def test_a_token_of_zeros_stays_zero():
    steps, scales = quantise_tokens(torch.zeros(2, 8, dtype=torch.bfloat16))
    assert not steps.any()
    assert not scales.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_steps_are_the_nearest_to_the_tokens(dtype):
    x = torch.randn(300, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    whole, scales = whole_tokens(x)
    steps, right = quantise_tokens(x)
    assert torch.equal(scales, right)
    assert whole.dtype is torch.uint8
    assert ((whole.float() - 128 - steps).abs() <= 0.5 + 1e-4).all()
