"""Writes a model folder filled at random, which every implementation can load and compute with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoints.export import Networks, save_folder
from engine.cli.subjects import ARCHITECTURES, SHIFT, WEIGHT_SPREAD, build
from engine.errors import NotFound
from engine.memory.place import Place
from engine.model.text_encoder import TextEncoder
from engine.variants import by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which networks are filled, and the sides of the square pictures to paint with them."""

    architecture: str
    text_encoder: dict[str, Any]
    sides: tuple[int, ...]


VOCABULARY = 512
"""Words of the Demo tokenizer, which reads for the encoder."""

SIZES = {
    "demo": Size(
        architecture="demo",
        text_encoder={
            "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 256,
            "vocab_size": VOCABULARY,
        },
        sides=(64, 128),
    ),
    "full": Size(
        architecture="full",
        text_encoder={
            "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728,
            "vocab_size": VOCABULARY,
        },
        sides=(512, 1024, 2048),
    ),
}  # fmt: skip


def write_random_model(folder: Path, size: str, place: Place) -> None:
    """Write a model folder; `place` is where its weights are drawn, in its number type."""
    chosen = SIZES[size]
    networks = build(ARCHITECTURES[chosen.architecture], place)
    save_folder(
        folder,
        Networks(
            transformer=networks.transformer,
            vae=networks.vae,
            text_encoder=_random_encoder(chosen.text_encoder, place),
            tokenizer=_tokenizer(),
            shift=SHIFT,
            variant="",
        ),
    )


def _random_encoder(config: dict[str, Any], place: Place) -> TextEncoder:
    """Return an encoder with seeded random weights; its angles are no weights, and stay."""
    with torch.device("meta"):
        encoder = TextEncoder(config)
    generator = torch.Generator(place.device).manual_seed(1)
    for module in encoder.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            drawn = torch.ones(weight.shape, dtype=place.dtype, device=place.device)
            if weight.ndim > 1:
                drawn.normal_(std=WEIGHT_SPREAD, generator=generator)
            module.register_parameter(name, nn.Parameter(drawn, requires_grad=False))
    return encoder


def _tokenizer() -> Path:
    folder = by_name("demo-turbo").folder
    if folder is None:
        raise NotFound("The Demo model is not there to lend its tokenizer.", "Install it again.")
    return folder / "tokenizer"
