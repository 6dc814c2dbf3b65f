"""Measures one forward of the whole transformer: ours in bfloat16 and int8 beside the reference."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from engine.cli import subjects
from engine.cli.bench_int8 import rounded
from engine.cli.measure import Arm, medians
from engine.cli.terminal import say
from engine.memory.accelerate import accelerate
from engine.memory.place import Place
from engine.model.config import LATENT_SCALE
from engine.model.transformer import Transformer
from engine.quant.recipe import transformer_layers
from engine.request import Precision
from engine.sampling.schedules import model_times

ROUNDS: Final = 3
SIDE: Final = 512
"""Pixels; 1024 image tokens."""

TALL: Final = replace(
    subjects.ARCHITECTURES["full"],
    transformer=replace(subjects.ARCHITECTURES["full"].transformer, n_layers=5, n_refiner_layers=1),
)
"""The full width with five sixths of its blocks int8; of the public model it is seven eighths."""

BF16, INT8, THEIRS = "ours bf16", "ours int8", "diffusers bf16"


@torch.inference_mode()
def whole_forward(
    device: str, architecture: subjects.Architecture = TALL, side: int = SIDE
) -> dict[str, Any]:
    """Compare forwards with the same random weights; the caption is refined beforehand by ours.

    Reported are seconds, how many times faster than the reference ours are, and how far from it,
    relative L2.
    """
    place = Place(device=device, precision=Precision.BF16)
    plain = subjects.build(architecture, place).transformer
    theirs = subjects.reference_transformer(plain)
    layers = tuple(transformer_layers(architecture.transformer.n_layers))
    networks = {BF16: plain, INT8: rounded(plain, layers)}
    for network in networks.values():
        accelerate(network, torch.device(device), place.dtype, is_base=False)
    told = subjects.features(architecture, place, 0)
    cells = side // LATENT_SCALE
    start = torch.randn(1, 16, cells, cells, generator=torch.Generator().manual_seed(0))
    x, time = start.to(device, place.dtype), model_times(torch.tensor([0.7])).to(device)

    def ours(name: str, _number: int = 0) -> Tensor:
        out: Tensor = networks[name](x, *prepared[name])
        return out

    def reference(_number: int = 0) -> Tensor:
        pictures = theirs([x[0].unsqueeze(1)], time, [told[0]], return_dict=False)[0]
        out: Tensor = pictures[0].squeeze(1).unsqueeze(0)
        return out

    prepared = {name: _prepared(network, told, time, cells) for name, network in networks.items()}
    arms = [Arm(name=name, run=partial(ours, name)) for name in networks]
    seconds = medians([*arms, Arm(name=THEIRS, run=reference)], ROUNDS, device)
    right = reference().double()
    errors = {name: _off(ours(name).double(), right) for name in networks}
    faster = {name: seconds[THEIRS] / seconds[name] for name in networks}
    tokens = cells * cells // architecture.transformer.patch_size**2
    _say(f"one forward, dim {architecture.transformer.dim}, {architecture.transformer.n_layers} "
         f"layers, {tokens} image tokens, {device}:", seconds, faster, errors)  # fmt: skip
    return {"what": "whole forward", "image tokens": tokens, "seconds": seconds,
            "times faster": faster, "relative L2": errors}  # fmt: skip


def _prepared(network: Transformer, told: Tensor, time: Tensor, cells: int) -> tuple[Any, Any]:
    """Return what our network computes once a schedule and once a prompt."""
    caption = network.refine_caption(told)[0]
    return network.modulate(time), network.arrange([caption], cells, cells)


def _off(found: Tensor, right: Tensor) -> float:
    return float((found - right).norm() / right.norm())


def _say(
    title: str, seconds: dict[str, float], faster: dict[str, float], errors: dict[str, float]
) -> None:
    say(title)
    for name, value in seconds.items():
        told = ""
        if name in faster:
            told = f"   {faster[name]:.2f} x faster, relative L2 {errors[name]:.1e}"
        say(f"  {name:<32} {value:.3f} s{told}")
