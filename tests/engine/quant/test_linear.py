"""The int8 layer stands in for a linear layer; a whole block of them stays near the exact one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from engine.model.config import TransformerConfig
from engine.model.layers import Block
from engine.model.rope import image_positions, rotation
from engine.quant.linear import Int8Linear, make_int8
from engine.quant.products import WEIGHT_ONLY, Product, choose
from engine.quant.recipe import BLOCK_LAYERS
from engine.quant.rows import quantise_rows

FAST = choose(torch.device("cpu"))


def filled(linear: nn.Linear, product: Product = FAST) -> Int8Linear:
    layer = Int8Linear(
        linear.in_features, linear.out_features, bias=linear.bias is not None, product=product
    )
    layer.fill(quantise_rows(linear.weight.detach()))
    if linear.bias is not None:
        layer.bias = linear.bias
    return layer


@torch.inference_mode()
def test_it_computes_what_the_linear_layer_does_with_its_bias():
    linear = nn.Linear(64, 48)
    x = torch.randn(2, 5, 64)
    found, right = filled(linear)(x), linear(x)
    assert found.shape == right.shape
    assert (found - right).norm() / right.norm() < 0.02
    assert (filled(linear, WEIGHT_ONLY)(x) - right).norm() / right.norm() < 0.01


def test_its_weight_is_the_integers_it_was_filled_with():
    rows = quantise_rows(torch.randn(48, 64))
    layer = Int8Linear(64, 48, bias=False, product=FAST)
    layer.fill(rows)
    assert torch.equal(layer.weight, rows.values)
    assert torch.equal(layer.scales, rows.scales)


def test_only_linear_layers_become_int8():
    network = nn.Sequential(nn.Linear(8, 8), nn.SiLU())
    make_int8(network, ["0"], FAST)
    assert isinstance(network[0], Int8Linear)
    with pytest.raises(TypeError, match="SiLU"):
        make_int8(network, ["1"], FAST)


TOKENS = 64
KINDS = {"normal": 0.0, "1 % outliers at 50 x": 0.01}


@pytest.fixture(scope="module")
def blocks() -> tuple[Block, Block]:
    """A block of the real width, exact and with int8 layers."""
    torch.manual_seed(0)
    exact = Block(TransformerConfig(), modulated=True).requires_grad_(False)
    for parameter in exact.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
    rounded = copy.copy(exact)
    rounded._modules = {**exact._modules}
    for half in ("attention", "feed_forward"):
        inner = copy.copy(getattr(exact, half))
        inner._modules = {**inner._modules}
        rounded._modules[half] = inner
    for name in BLOCK_LAYERS:
        half, leaf = name.split(".")
        getattr(rounded, half)._modules[leaf] = filled(exact.get_submodule(name))
    return exact, rounded


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_block_of_the_real_width_is_within_two_percent(blocks, kind, record_property):
    exact, rounded = blocks
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, TOKENS, 3840, generator=generator)
    x = torch.where(torch.rand(x.shape, generator=generator) < KINDS[kind], 50 * x, x)
    angles = rotation(image_positions(33, 8, 8).unsqueeze(0), (32, 48, 48), 256.0)
    modulation = exact.modulate(torch.randn(1, 256, generator=generator))
    right = exact(x, angles, None, modulation)
    found = rounded(x, angles, None, modulation)
    error = ((found - right).norm() / right.norm()).item()
    change = ((found - right).norm() / (right - x).norm()).item()
    record_property("relative error", error)
    record_property("relative error of what the block adds", change)
    assert error <= 0.02
