"""Scale and shift of the trained autoencoder, so that latents have zero mean and unit variance."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from engine.demo.drawing import draw
from engine.demo.recipe import SIZES
from engine.demo.scenes import FULL, sample_scene
from engine.model.config import VaeConfig
from engine.model.vae import Vae

PICTURES = 512


@torch.no_grad()
def with_measured_scale(vae: Vae, seed: int) -> Vae:
    """Return a copy of `vae` whose latents are normalised over freshly drawn pictures."""
    rng = random.Random(seed)  # noqa: S311
    width, height = SIZES[0]
    drawn = [draw(sample_scene(rng, FULL), width, height, rng) for _ in range(PICTURES)]
    raw = torch.cat([vae.encode(torch.stack([p]).float() / 127.5 - 1) for p in drawn])
    raw = raw / vae.config.scaling_factor + vae.config.shift_factor
    config: VaeConfig = replace(
        vae.config,
        scaling_factor=round(1 / raw.std().item(), 4),
        shift_factor=round(raw.mean().item(), 4),
    )
    scaled = Vae(config)
    scaled.load_state_dict(vae.state_dict())
    return scaled
