"""Masks: grey pictures that are white where to repaint. Without torch, for plans need them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops

from engine.errors import BadRequest
from engine.images.fit import Size, same_shape, shown
from engine.images.open import open_picture

WHITE_FROM: Final = 128
"""A level from which a pixel of a mask counts as white where masks are not soft."""


def open_mask(source: Path | bytes, size: Size, *, soft: bool) -> tuple[Image.Image, str | None]:
    """Return a mask as 8-bit grey of a picture's size, and what the user should know of it.

    Transparent parts count as black. Levels are 0 and 255 alone unless it is `soft`. One of another
    size but the same shape is resized. Raise `NotFound`, `FileRejected`, or `BadRequest` for
    another shape.
    """
    mask = open_picture(source, "black").convert("L")
    notice = None
    if mask.size != size:
        if not same_shape(mask.size, size):
            raise BadRequest(
                f"The mask has {shown(mask.size)} pixels, the picture {shown(size)}: they are of "
                "different shapes.",
                "Give a mask of the picture's size.",
            )
        notice = f"The mask of {shown(mask.size)} was resized to the picture's {shown(size)}."
        mask = mask.resize(size, Image.Resampling.BILINEAR if soft else Image.Resampling.NEAREST)
    if not soft:
        mask = mask.point([255 * (level >= WHITE_FROM) for level in range(256)])
    return mask, notice


def together(masks: Iterable[Image.Image], size: Size) -> Image.Image:
    """Return 8-bit grey masks of one size as one: the lightest level of each pixel."""
    whole = Image.new("L", size)
    for mask in masks:
        whole = ImageChops.lighter(whole, mask)
    return whole
