"""A fused block computes what the plain one does, in at most fourteen launches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.model.config import TransformerConfig
from engine.model.footprint import transformer_footprint
from engine.model.layers import Block
from engine.quant import fused_block
from engine.quant.fused_block import Tokens, fits, fused, parts
from engine.quant.linear import Int8Linear
from engine.quant.products import WEIGHT_ONLY, Integer
from engine.quant.recipe import BLOCK_LAYERS
from tests.engine.fake_memory import fake, peak_bytes, placed
from tests.engine.quant.plain_kernels import (
    PlainKernels,
    make_block,
    make_inputs,
    make_layer_int8,
)

LAUNCHES = {
    "int8": [
        "normalise", "multiply", "turn", "attend", "quantise", "multiply", "add_and_normalise",
        "multiply", "swiglu", "multiply", "add",
    ],
    "plain": ["normalise", "turn", "attend", "add_and_normalise", "swiglu", "add"],
}  # fmt: skip
PRODUCTS = 4
SMALL_PICTURE, LARGE_PICTURE = 1152, 4224
"""Tokens of a picture of 512 x 512 or 1024 x 1024 pixels, with its caption."""


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("int8", [False, True], ids=["plain", "int8"])
@pytest.mark.parametrize(
    ("groups", "tokens", "times", "places", "lengths"),
    [
        (1, 37, 1, 1, None),
        (2, 32, 1, 1, None),
        (2, 32, 2, 2, None),
        (1, 40, 1, 1, (17, 23)),
    ],
    ids=["one", "two at a time", "two at their own times and places", "ragged"],
)
def test_a_fused_block_computes_what_the_plain_one_does(
    int8, groups, tokens, times, places, lengths
):
    block = make_block(int8=int8)
    x, angles, modulation = make_inputs(groups, tokens, times, places=places)
    before = x.clone()
    found = fused(PlainKernels(), block, x, modulation, angles, lengths)
    expected = block(x, angles, lengths, modulation)
    assert torch.equal(x, before)
    assert (found - expected).norm() <= 1e-4 * (expected - x).norm()


def test_products_may_be_int8_in_part():
    block = make_block(int8=False)
    make_layer_int8(block, "attention.out", Integer())
    make_layer_int8(block, "feed_forward.w13", Integer())
    x, angles, modulation = make_inputs(1, 20, 1)
    found = fused(PlainKernels(), block, x, modulation, angles, None)
    expected = block(x, angles, None, modulation)
    assert (found - expected).norm() <= 1e-4 * (expected - x).norm()


def test_weights_are_those_that_the_block_has_at_the_moment():
    block, other = make_block(int8=True), make_block(int8=True)
    x, angles, modulation = make_inputs(1, 20, 1)
    kernels = PlainKernels()
    fused(kernels, block, x, modulation, angles, None)
    for mine, theirs in zip(block.modules(), other.modules(), strict=True):
        if isinstance(mine, Int8Linear):
            mine.prepared, mine.scales = theirs.prepared, theirs.scales
        for name, weight in theirs.named_parameters(recurse=False):
            setattr(mine, name, weight)
    found = fused(kernels, block, x, modulation, angles, None)
    assert torch.equal(found, fused(kernels, other, x, modulation, angles, None))


@pytest.mark.parametrize("kind", LAUNCHES)
def test_a_main_block_of_a_large_picture_takes_at_most_fourteen_launches(kind, monkeypatch):
    block = make_block(int8=kind == "int8")
    kernels = PlainKernels()
    attend, mm = block.attention.attend, torch.mm

    def counted(q, k, v):
        kernels.launched.append("attend")
        return attend(q, k, v)

    def counted_mm(*arguments, **keywords):
        kernels.launched.append("product")
        return mm(*arguments, **keywords)

    block.attention.attend = counted
    monkeypatch.setattr(torch, "mm", counted_mm)
    x, angles, modulation = make_inputs(1, 64, 1)
    fused(kernels, block, x, modulation, angles, None)
    assert [name for name in kernels.launched if name != "product"] == LAUNCHES[kind]
    assert kernels.launched.count("product") == (0 if kind == "int8" else PRODUCTS)
    assert len(kernels.launched) <= 11
    assert parts(SMALL_PICTURE) == 1
    # The feed-forward part of a large picture is cut in two.
    monkeypatch.setattr(fused_block, "parts", lambda _: parts(LARGE_PICTURE))
    kernels.launched.clear()
    fused(kernels, block, x, modulation, angles, None)
    assert 11 < len(kernels.launched) <= 14


def test_a_feed_forward_part_that_is_cut_gives_the_same(monkeypatch):
    block = make_block(int8=True)
    x, angles, modulation = make_inputs(1, 64, 1)
    whole = fused(PlainKernels(), block, x, modulation, angles, None)
    monkeypatch.setattr(fused_block, "parts", lambda _: 5)
    assert torch.equal(fused(PlainKernels(), block, x, modulation, angles, None), whole)


def ready(*, int8: bool = True):
    return make_block(int8=int8), make_inputs(1, 8, 1)[2]


def test_a_block_of_plain_or_int8_products_fits():
    assert fits(*ready(int8=True))
    assert fits(*ready(int8=False))


class Branched(nn.Module):
    """Stands for a product with an adapter beside it."""


def branch(block):
    block.attention.qkv = Branched()


def turn(block):
    block.feed_forward.w2.turn = torch.eye(4)


def compute_in_half(block):
    block.attention.in_half = True


def compute_exactly(block):
    block.attention.out.product = WEIGHT_ONLY


def stream_apart(block):
    block.feed_forward.w13.register_forward_pre_hook(lambda *_: None)


def stream_half_apart(block):
    block.attention.register_forward_hook(lambda *_: None)


def add_bias(block):
    block.feed_forward.w2.bias = nn.Parameter(torch.zeros(48), requires_grad=False)


@pytest.mark.parametrize(
    "change",
    [
        branch,
        turn,
        compute_in_half,
        compute_exactly,
        stream_apart,
        stream_half_apart,
        add_bias,
    ],
)
def test_a_block_that_is_more_than_its_weights_does_not_fit(change):
    block, modulation = ready()
    change(block)
    assert not fits(block, modulation)


def test_a_block_of_captions_does_not_fit():
    block, _ = ready()
    assert not fits(block, None)


@pytest.mark.parametrize("int8", [False, True], ids=["plain", "int8"])
@pytest.mark.parametrize("tokens", [640, SMALL_PICTURE, 1184, 2304, LARGE_PICTURE, 16512])
def test_a_fused_block_needs_no_more_memory_than_is_planned_for(tokens, int8):
    """Counted at the true shape with tensors that have no memory."""
    config = TransformerConfig()
    with fake(), torch.device("meta"):
        block = placed(Block(config, modulated=True), torch.bfloat16, "meta")
        for name in BLOCK_LAYERS if int8 else ():
            make_layer_int8(block, name, Integer())
        x, angles, modulation = make_inputs(1, tokens, 1, config=config, dtype=torch.bfloat16)
        block.attention.attend = lambda q, _k, _v: torch.empty_like(q)
        there = (x, angles, modulation, list(block.parameters()), list(block.buffers()))
        peak = peak_bytes(
            lambda *_: fused(Silent(), block, x, modulation, angles, None), *there, kind="meta"
        )
    width = tokens * config.dim * 2
    assert peak >= 4 * width
    assert width + peak <= transformer_footprint(config, tokens, 1, 2, is_int8=int8)
    assert width + peak <= 260 * 2**20 or tokens > LARGE_PICTURE


class Silent(PlainKernels):
    """Kernels that need no memory but for what they return, as those of a card."""

    def normalise(self, x, norm, *, rounds):
        return self._room(x.flatten(0, 1), rounds=rounds)

    def quantise(self, x):
        return self._room(x, rounds=True)

    def multiply(self, tokens, weight, out):
        return None

    def turn(self, qkv, weights, eps, angles):
        return None

    def add(self, x, change, gate):
        return None

    def add_and_normalise(self, x, change, gate, norm, *, rounds):
        return self._room(x.flatten(0, 1), rounds=rounds)

    def swiglu(self, w13, *, rounds):
        return Tokens(w13.chunk(2, dim=-1)[0], torch.empty(len(w13)) if rounds else None)

    def _room(self, x, *, rounds):
        if not rounds:
            return Tokens(torch.empty_like(x), None)
        return Tokens(torch.empty_like(x, dtype=torch.int8), torch.empty(len(x)))
