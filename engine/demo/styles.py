"""Paints a finished landscape over: as a watercolour, or as pixel art."""

from __future__ import annotations

import random
from typing import Final

import torch
from PIL import Image
from torch.nn import functional as F

PIXEL: Final = 4

_PIXEL_COLOURS: Final = 20
_PAPER: Final = (0.985, 0.97, 0.935)
_WOBBLE: Final = 0.8


def pixel_art(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return a picture of `width` x `height` in square dots of four pixels and few colours."""
    factor = picture.width * PIXEL // width
    size = (width // PIXEL, height // PIXEL)
    crisp = picture.reduce(factor // PIXEL).resize(size, Image.Resampling.NEAREST)
    dots = crisp.quantize(_PIXEL_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2)
    return dots.convert("RGB").resize((width, height), Image.Resampling.NEAREST)


def watercolour(picture: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Return the picture with soft wandering edges, uneven pigment and bare paper at the rim.

    picture: [3, H, W] uint8; the result has the same shape and type.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(60))
    _, height, width = picture.shape
    paper = torch.tensor(_PAPER).view(3, 1, 1)
    paint = _wandered(picture.float() / 255.0, generator)
    soft = _blurred(_blurred(paint))
    rim = (paint - soft).abs().mean(0, keepdim=True)
    pigment = 0.88 + 0.06 * _cloudy(1, height, width, 14, generator)
    pigment = pigment + 0.035 * _cloudy(1, height, width, 5, generator) + 0.9 * rim
    pigment = pigment * _coverage(height, width, generator)
    painted = paper * (1.0 - pigment * (1.0 - (0.4 * paint + 0.6 * _blurred(paint))))
    grain = 0.008 * torch.randn(1, height, width, generator=generator)
    return (painted + grain).clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)


def _wandered(paint: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    _, height, width = paint.shape
    drift = _WOBBLE * _cloudy(2, height, width, 9, generator)
    rows = torch.linspace(-1.0, 1.0, height).view(height, 1).expand(height, width)
    columns = torch.linspace(-1.0, 1.0, width).expand(height, width)
    at = torch.stack((columns + drift[0] * 2.0 / width, rows + drift[1] * 2.0 / height), dim=-1)
    moved = F.grid_sample(paint[None], at[None], padding_mode="border", align_corners=True)
    return moved[0]


def _cloudy(
    channels: int, height: int, width: int, cell: int, generator: torch.Generator
) -> torch.Tensor:
    """Return smooth noise [channels, H, W] of about unit spread whose blots are `cell` wide."""
    coarse = torch.randn(1, channels, height // cell + 2, width // cell + 2, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0]


def _coverage(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return [1, H, W]: 1 where paint covers the paper, falling to 0 at an uneven rim."""
    rows = torch.arange(height).view(height, 1).expand(height, width)
    columns = torch.arange(width).expand(height, width)
    to_edge = torch.minimum(
        torch.minimum(rows, height - 1 - rows), torch.minimum(columns, width - 1 - columns)
    )
    ragged = to_edge + 1.1 * _cloudy(1, height, width, 8, generator)
    return ((ragged - 2.5) / 4.0).clamp(0.0, 1.0)


def _blurred(paint: torch.Tensor) -> torch.Tensor:
    padded = F.pad(paint[None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, stride=1)[0]
