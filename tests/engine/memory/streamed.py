"""Tiny models that are loaded in any residency, and what they compute."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.denoise import Conditions, Denoiser, denoise
from engine.memory.ledger import Numbers
from engine.memory.model import Model
from engine.memory.pieces import Sizes, Tour, sizes_of
from engine.memory.place import Place
from engine.memory.plan import Plan, Source
from engine.memory.studio import Studio
from engine.request import Precision
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from tests.tiny import TRANSFORMER

STEPS = 3


def place_of(precision: Precision) -> Place:
    return Place(device="cpu", precision=precision)


def sizes(checkpoint: Checkpoint, precision: Precision) -> Sizes:
    item_bytes = place_of(precision).dtype.itemsize
    half = precision is Precision.FP16
    return sizes_of(checkpoint, Numbers(precision=precision, item_bytes=item_bytes, half=half))


def plan_of(
    streamed: Collection[str], source: Source = Source.PAGED, *, keep_encoder: bool = True
) -> Plan:
    return Plan(
        device="cpu",
        precision="any",
        streamed=frozenset(streamed),
        slots=2,
        source=source,
        encoder_source=source,
        keep_encoder=keep_encoder,
    )


def load(
    studio: Studio, checkpoint: Checkpoint, precision: Precision, plan: Plan, folder: Path
) -> Model:
    return studio.model(checkpoint, place_of(precision), lambda: None, plan, folder)


def features(*, dtype: torch.dtype) -> list[Tensor]:
    """Features of two prompts of unlike lengths, as if an encoder had read them."""
    rng = torch.Generator().manual_seed(9)
    width = TRANSFORMER.cap_feat_dim
    return [torch.randn(1, count, width, generator=rng).to(dtype) for count in (5, 40)]


@torch.inference_mode()
def read(model: Model) -> list[Tensor]:
    """Features of two prompts that the model's own encoder reads."""
    return [model.features(torch.arange(count)[None]) for count in (5, 40)]


@torch.inference_mode()
def latents_of(model: Model, on_step=lambda *_: None, prompts=()) -> Tensor:
    """Paint a guided picture after the features of two prompts, [1, 16, 8, 8]."""
    prompts = prompts or features(dtype=model.place.dtype)
    captions = [model.refine(prompt)[0] for prompt in prompts]
    sigmas, guidance = torch.linspace(1, 0, STEPS + 1), Guidance(scale=2.0)
    with model.visiting(Tour.MODULATE, 1):
        conditions = Conditions(positive=captions[:1], negative=captions[1:])
        denoiser = Denoiser(model.transformer, conditions, guidance, sigmas, (8, 8))
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    with model.visiting(Tour.DENOISE, STEPS):
        return denoise(denoiser, noise, sigmas, SAMPLERS["euler"], on_step)


def slabs_of(model: Model) -> dict[str, int]:
    """The bytes of every slab, by its piece."""
    joined = model.residence._joined.values()
    return {slab.name: slab.bytes for one in joined for slab in one.landing.slabs.values()}
