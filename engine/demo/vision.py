"""The vision encoder of demo-omni: the class of the real one, small, seeded and never trained."""

from __future__ import annotations

from typing import Final

import torch
from PIL import Image
from torch import Tensor

from engine.demo.recipe import VISION
from engine.images.patches import patches_of
from engine.model.vision_encoder import VisionEncoder

_SEED: Final = 64


def build_vision_encoder() -> VisionEncoder:
    """Return the vision encoder, the same at every call, with weights that float16 can hold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        encoder = VisionEncoder(VISION)
    return encoder.half().float().eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def features_of(encoder: VisionEncoder, pictures: list[Tensor]) -> Tensor:
    """Return features [B, rows, columns, C] of pictures of one size, [3, H, W] uint8 each."""
    drawn = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures]
    cut = [patches_of(picture, encoder.config) for picture in drawn]
    features: Tensor = encoder(torch.cat([patches for patches, _ in cut]), cut[0][1])
    return features
