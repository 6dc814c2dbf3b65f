"""Pictures as tensors, and tensors as pictures."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

Margins = tuple[int, int, int, int]
"""Pixels at the left, the top, the right and the bottom."""


def pixels_of(image: Image.Image) -> Tensor:
    """Return an RGB or grey picture as [H, W, 3] or [H, W, 1] uint8."""
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(image.height, image.width, len(image.getbands()))


def image_of(pixels: Tensor) -> Image.Image:
    """Return pixels [H, W, 3] or [H, W, 1] uint8 as an RGB or grey picture."""
    height, width, bands = pixels.shape
    data = pixels.contiguous().numpy().tobytes()
    return Image.frombytes("RGB" if bands == 3 else "L", (width, height), data)


def mirrored(pixels: Tensor, margins: Margins) -> Tensor:
    """Return pixels [H, W, C] with margins in which they are mirrored, as often as it takes."""
    left, top, right, bottom = margins
    height, width, _ = pixels.shape
    return pixels[_bounced(top, height, bottom)][:, _bounced(left, width, right)]


def model_range(pixels: Tensor) -> Tensor:
    """Return a picture [H, W, 3] uint8 as the autoencoder takes it, [1, 3, H, W] in -1..1."""
    scaled = pixels.permute(2, 0, 1)[None].float() / 255
    return 2 * scaled - 1


def _bounced(before: int, count: int, after: int) -> Tensor:
    """Return the indices [before + count + after] of a line that is mirrored at its ends."""
    period = max(1, 2 * count - 2)
    steps = torch.arange(-before, count + after) % period
    return torch.minimum(steps, (period - steps) % period if count > 1 else steps)
