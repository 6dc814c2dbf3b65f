"""Cuts a picture into the patches that a vision encoder of any aspect ratio reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.model.config import VisionConfig

_SMALLEST_SCALE: Final = 1e-6
_LARGEST_SCALE: Final = 100.0
_EXACT: Final = 1e-5
"""Between these scales the reference searches, until it knows the scale so well."""


def grid_of(width: int, height: int, patch_size: int, max_patches: int) -> tuple[int, int]:
    """Return into how many rows and columns of patches a picture of pixels is cut.

    They keep about the picture's shape, and are as many as may be. The search takes the very steps
    of the reference, since sides are rounded up and a scale only so near may round otherwise.
    """

    def at(scale: float) -> tuple[int, int]:
        cells = (math.ceil(side * scale / patch_size) for side in (height, width))
        rows, columns = (max(1, count) for count in cells)
        return rows, columns

    return at(_last(lambda scale: math.prod(at(scale)) <= max_patches))


def _last(holds: Callable[[float], bool]) -> float:
    """Return about the last scale at which something holds that holds for all below it."""
    low, high = _SMALLEST_SCALE, _LARGEST_SCALE
    while high - low >= _EXACT:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def patches_of(picture: Image.Image, config: VisionConfig) -> tuple[Tensor, tuple[int, int]]:
    """Return patches [1, N, 3 * patch²] float32 in -1..1 of an RGB picture, and their grid.

    The picture is resized to fill the grid; patches are row-major, channels fastest within.
    """
    side = config.patch_size
    grid = grid_of(*picture.size, side, config.max_patches)
    rows, columns = grid
    resized = picture.resize((columns * side, rows * side), Image.Resampling.BILINEAR)
    levels = torch.from_numpy(np.array(resized, dtype=np.float32)) / 127.5 - 1
    cells = levels.reshape(rows, side, columns, side, 3).transpose(1, 2)
    return cells.reshape(1, rows * columns, -1), grid
