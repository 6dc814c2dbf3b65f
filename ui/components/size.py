"""Picture sizes: a shape, how many megapixels, and the exact sides."""

from __future__ import annotations

import math
from typing import Final

from engine import MIN_SIDE, SIDE_MULTIPLE, Variant
from ui import strings

MEGAPIXELS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
STANDARD: Final = 1.0
"""The megapixels at which a shape has exactly the sides that the model's preset names."""


def shapes(variant: Variant) -> list[str]:
    """Return the shapes to choose from."""
    return [*(size.label for size in variant.sizes), strings.CUSTOM]


def shape_of(variant: Variant, width: object, height: object, megapixels: float) -> str:
    """Return the shape that has these sides, or the word for a size of one's own."""
    for size in variant.sizes:
        if sides(variant, size.label, megapixels) == (width, height):
            return size.label
    return strings.CUSTOM


def megapixel_choices(variant: Variant) -> list[float]:
    """Return the picture sizes to choose from; one where the model paints in one size only."""
    low, high = variant.limits.pixels
    return [m for m in MEGAPIXELS if low <= m * 1024 * 1024 <= high] or [STANDARD]


def sides(variant: Variant, shape: str, megapixels: float) -> tuple[int, int] | None:
    """Return width and height in pixels of a shape, None for a size of one's own.

    Other megapixels than the standard scale both sides, to the nearest multiples of 16.
    """
    for size in variant.sizes:
        if size.label == shape:
            return _scaled(size.width, megapixels), _scaled(size.height, megapixels)
    return None


def _scaled(side: int, megapixels: float) -> int:
    scaled = side * math.sqrt(megapixels / STANDARD)
    return max(MIN_SIDE, round(scaled / SIDE_MULTIPLE) * SIDE_MULTIPLE)
