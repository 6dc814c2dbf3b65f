"""Measures what int8 is worth: one block at the full width, three ways to compute it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from engine.cli.measure import Arm, medians
from engine.cli.subjects import WEIGHT_SPREAD
from engine.cli.terminal import say
from engine.model.config import TransformerConfig
from engine.model.layers import Block
from engine.model.rope import image_positions, rotation
from engine.quant.linear import Int8Linear, make_int8
from engine.quant.products import choose
from engine.quant.recipe import BLOCK_LAYERS
from engine.quant.rows import quantise_rows

ROUNDS: Final = 5
CELLS: Final = 32
"""Tokens along a side of the picture: 1024 in all."""

Network = TypeVar("Network", bound=nn.Module)

FULL: Final = TransformerConfig()
OURS, PLAIN, THEIRS = "int8", "bf16", "optimum-quanto int8"
_OUTLIERS: Final = {"normal tokens": 0.0, "tokens with 1 % outliers at 50 x": 0.01}


@torch.inference_mode()
def int8_figures(device: str, config: TransformerConfig = FULL) -> dict[str, Any]:
    """Compare our int8 block with bfloat16 and with optimum-quanto's own execution."""
    place = torch.device(device)
    plain = _random_block(config, place)
    blocks = {OURS: rounded(plain, BLOCK_LAYERS), PLAIN: plain, THEIRS: _by_quanto(plain)}
    positions = image_positions(33, CELLS, CELLS).unsqueeze(0)
    angles = rotation(positions, config.axes_dims, config.rope_theta).to(place)
    modulation = plain.modulate(torch.randn(1, config.adaln_dim).to(place, torch.bfloat16))

    def run(name: str, x: Tensor) -> Tensor:
        out: Tensor = blocks[name](x, angles, None, modulation)
        return out

    inputs = {kind: _tokens(config, share).to(place) for kind, share in _OUTLIERS.items()}
    first = next(iter(inputs.values()))
    arms = [_arm(name, partial(run, name, first)) for name in blocks]
    seconds = medians(arms, ROUNDS, device)
    errors = {kind: _off(run(OURS, x), run(PLAIN, x)) for kind, x in inputs.items()}
    ratios = {name: seconds[name] / seconds[OURS] for name in (PLAIN, THEIRS)}
    say(f"one block, dim {config.dim}, {CELLS * CELLS} tokens, {device}:")
    for name, value in seconds.items():
        say(f"  {name:<32} {value:.3f} s")
    for name, value in ratios.items():
        say(f"  {f'{name} / {OURS}':<32} {value:.2f}")
    for kind, value in errors.items():
        say(f"  {f'relative L2, {kind}':<46} {value:.1e}")
    return {"what": "int8 block", "seconds": seconds, "ratios": ratios, "relative L2": errors}


def _arm(name: str, work: Callable[[], Tensor]) -> Arm:
    return Arm(name=name, run=lambda _: work())


def _random_block(config: TransformerConfig, place: torch.device) -> Block:
    with torch.device("meta"):
        block = Block(config, modulated=True).to(torch.bfloat16)
    block = block.to_empty(device=place).requires_grad_(False)
    torch.manual_seed(0)
    for name, parameter in block.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=WEIGHT_SPREAD)
        else:
            parameter.fill_(float(name.endswith("weight")))
    return block


def rounded(network: Network, layers: Sequence[str]) -> Network:
    """Return a network some of whose linear layers are int8; what stays shares its weights."""
    found = _like(network)
    place = next(network.parameters()).device
    make_int8(found, layers, choose(place))
    for name in layers:
        layer, weight = found.get_submodule(name), network.get_submodule(name).weight
        if isinstance(layer, Int8Linear) and isinstance(weight, Tensor):
            layer.fill(quantise_rows(weight))
    return found


def _by_quanto(block: Block) -> Block:
    from optimum.quanto import freeze, qint8, quantize

    theirs = _like(block)
    quantize(theirs, weights=qint8, include=["attention.*", "feed_forward.*"])
    freeze(theirs)
    return theirs


def _like(network: Network) -> Network:
    """Return modules of their own around the same weights."""
    return copy.deepcopy(network, {id(weight): weight for weight in network.parameters()})


def _tokens(config: TransformerConfig, outliers: float) -> Tensor:
    """Return tokens [1, T, D] bfloat16, a share of whose numbers is 50 times as large."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, CELLS * CELLS, config.dim, generator=generator)
    chosen = torch.rand(x.shape, generator=generator) < outliers
    return torch.where(chosen, 50 * x, x).bfloat16()


def _off(found: Tensor, right: Tensor) -> float:
    difference = found.double() - right.double()
    return float(difference.norm() / right.double().norm())
