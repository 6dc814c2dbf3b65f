"""Quick looks at unfinished pictures: a linear map from latents to colours instead of the VAE."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

LATENT_CHANNELS = 16
PROJECTION_SHAPE = (LATENT_CHANNELS + 1, 3)
CELL = 8
MAX_SIDE = 384
JPEG_QUALITY = 65

_SAMPLES, _BATCH, _SIDE, _COARSE_SIDE = 64, 8, 8, 3


class Preview:
    """Turns latents into small JPEG pictures."""

    def __init__(self, projection: Tensor) -> None:
        """Take a projection [17, 3]: 16 rows of weights, then the bias; colours -1..1."""
        if projection.shape != PROJECTION_SHAPE:
            raise ValueError(f"a projection is [17, 3], not {tuple(projection.shape)}")
        self._projection = projection.detach().to("cpu", torch.float32)

    def jpeg(self, latents: Tensor) -> bytes:
        """Return a JPEG, at most 384 pixels a side, of latents [16, h, w] (any device, dtype)."""
        cells = latents.detach().to("cpu", torch.float32).permute(1, 2, 0)
        colours = cells @ self._projection[:-1] + self._projection[-1]
        # Broken latents must not end a job here: the finite check of each step names them.
        levels = (colours.nan_to_num(0.0).clamp(-1, 1) + 1) * 127.5
        image = Image.fromarray(levels.round().to(torch.uint8).numpy())
        zoom = min(CELL, MAX_SIDE / max(image.size))
        width, height = (max(1, round(side * zoom)) for side in image.size)
        file = io.BytesIO()
        image.resize((width, height), Image.Resampling.BICUBIC).save(
            file, "JPEG", quality=JPEG_QUALITY
        )
        return file.getvalue()


def fit_projection(latents: Tensor, pictures: Tensor) -> Tensor:
    """Return the projection [17, 3] that best maps cells to their mean colours (least squares).

    latents: [N, 16, h, w]. pictures: [N, 3, 8h, 8w], -1..1. Cells with numbers that are not finite
    are left out.
    """
    inputs = _rows(latents)
    colours = _rows(F.avg_pool2d(pictures.detach().to("cpu", torch.float64), CELL))
    inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
    finite = torch.cat([inputs, colours], dim=1).isfinite().all(dim=1)
    inputs, colours = inputs[finite], colours[finite]
    # The small ridge keeps channels that never vary at weight 0.
    ridge = 1e-6 * max(len(inputs), 1) * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ colours)
    # The solver returns columns; safetensors stores rows.
    return weights.float().contiguous()


@torch.inference_mode()
def projection_of(decode: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """Return the projection [17, 3] of a VAE that has none stored, fitted to what it decodes.

    decode: latents [B, 16, h, w] float32 on the CPU -> pictures [B, 3, 8h, 8w], -1..1. It is called
    with 64 smooth random latents of unit variance, eight at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(_SAMPLES, LATENT_CHANNELS, _COARSE_SIDE, _COARSE_SIDE, generator=generator)
    latents = F.interpolate(coarse, size=(_SIDE, _SIDE), mode="bicubic", align_corners=True)
    latents = latents / latents.std()
    pictures = [decode(batch).detach().to("cpu", torch.float32) for batch in latents.split(_BATCH)]
    return fit_projection(latents, torch.cat(pictures))


def _rows(maps: Tensor) -> Tensor:
    """Return [N, C, h, w] as rows [N * h * w, C] in float64."""
    return maps.detach().to("cpu", torch.float64).permute(0, 2, 3, 1).flatten(0, 2)
