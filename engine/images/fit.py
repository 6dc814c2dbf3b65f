"""Sizes that a model can paint, and pictures brought to them. Without torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from engine.checks import MAX_SIDE, MIN_SIDE, SIDE_MULTIPLE

if TYPE_CHECKING:
    from PIL import Image

Size = tuple[int, int]
"""Width and height in pixels."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two excluded."""

SAME_SHAPE: Final = 0.01
"""Relative difference of two shapes that counts as none."""


def nearest(size: Size) -> Size:
    """Return the size that can be painted next to this one: multiples of 16 from 64 to 8192.

    What is longer is made smaller in its shape.
    """
    scale = min(1, MAX_SIDE / max(size)) / SIDE_MULTIPLE
    return _sided(round(size[0] * scale)), _sided(round(size[1] * scale))


def rounded_up(size: Size) -> Size:
    """Return the smallest multiples of 16, 64 at least, that hold a size."""
    return _sided(-(-size[0] // SIDE_MULTIPLE)), _sided(-(-size[1] // SIDE_MULTIPLE))


def of_area(size: Size, pixels: float) -> Size:
    """Return a size that can be painted, of about this shape and so many pixels."""
    scale = math.sqrt(pixels / (size[0] * size[1]))
    return nearest((round(size[0] * scale), round(size[1] * scale)))


def same_shape(one: Size, other: Size) -> bool:
    """Say whether two sizes have the same shape, within 1 %."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_SHAPE


def cover(picture: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
    """Return a picture resized to cover a size, and cropped to it at its centre."""
    if picture.size == size:
        return picture
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = min(size[0] / scale, picture.width), min(size[1] / scale, picture.height)
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    return picture.resize(size, resample, box=(left, top, left + width, top + height))


def grown(box: Box, by: int, size: Size) -> Box:
    """Return a box grown on each side, as far as a picture of `size` reaches."""
    left, top, right, bottom = box
    return max(left - by, 0), max(top - by, 0), min(right + by, size[0]), min(bottom + by, size[1])


def shaped(box: Box, shape: Size, size: Size) -> Box:
    """Return a box made longer to a shape, as far as a picture of `size` reaches."""
    wide, high = extent(box)
    width, height = max(wide, high * shape[0] / shape[1]), max(high, wide * shape[1] / shape[0])
    left, right = _span(box[0], box[2], round(width), size[0])
    top, bottom = _span(box[1], box[3], round(height), size[1])
    return left, top, right, bottom


def widened(box: Box, most: int, size: Size) -> Box:
    """Return a box at most so many times as long as wide, as far as a picture of `size` reaches."""
    wide, high = extent(box)
    if wide > high:
        return shaped(box, (min(wide, most * high), high), size)
    return shaped(box, (wide, min(high, most * wide)), size)


def extent(box: Box) -> Size:
    """Return width and height of a box."""
    return box[2] - box[0], box[3] - box[1]


def shown(size: Size) -> str:
    """Return a size as messages write it."""
    return f"{size[0]} x {size[1]}"


def _span(low: int, high: int, length: int, most: int) -> tuple[int, int]:
    """Return a span of `length` about the middle of another one, moved inside 0..most."""
    length = min(length, most)
    start = min(max((low + high - length) // 2, 0), most - length)
    return start, start + length


def _sided(multiples: int) -> int:
    return max(MIN_SIDE, multiples * SIDE_MULTIPLE)
