"""At which sizes a model reads the pictures that come with an instruction. Without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import BadRequest
from engine.images.fit import Size, nearest, of_area
from engine.model.config import SIZE_MULTIPLE
from engine.request import Request
from engine.variants import Variant

INSTRUCTION: Final = ("<|vision_end|>", "<|im_end|>\n<|im_start|>assistant\n<|vision_start|>")
"""What stands before and after the prompt in its segment, where there are pictures."""

MOST_PIXELS: Final = 1024 * 1024
"""Larger pictures are reduced before they are read, as the reference does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSizes:
    """Of one picture, width and height in pixels.

    seen: as the vision encoder gets it. encoded: what is cropped of that for the autoencoder.
    """

    seen: Size
    encoded: Size


def reading_sizes(asked: Request, variant: Variant, sizes: Sequence[Size]) -> list[PictureSizes]:
    """Return at which sizes pictures are read; raise `BadRequest` for one that is too narrow.

    asked: the request as it came, in which a missing size is still missing.
    """
    limit = _most_pixels(variant)
    area = asked.width * asked.height if asked.width and asked.height else limit
    found = []
    for size in sizes:
        seen = _reduced(size, area) if size[0] * size[1] > limit else size
        encoded = _cropped(seen)
        if not all(encoded):
            raise BadRequest(
                f"A picture of {size[0]} x {size[1]} pixels is too narrow to be read.",
                f"Give one whose sides are {SIZE_MULTIPLE} pixels at least.",
            )
        found.append(PictureSizes(seen=seen, encoded=encoded))
    return found


def target_size(size: Size, variant: Variant) -> Size:
    """Return the size of a picture that is made of one of this size, where none is asked for."""
    limit = _most_pixels(variant)
    return nearest(size) if size[0] * size[1] <= limit else of_area(size, limit)


def segments_around(pictures: int) -> tuple[list[str], str]:
    """Return the segments before and behind the one with the instruction; each is read alone."""
    between = ["<|vision_end|><|vision_start|>"] * (pictures - 1)
    return ["<|im_start|>user\n<|vision_start|>", *between], "<|vision_end|><|im_end|>"


def _most_pixels(variant: Variant) -> int:
    return min(MOST_PIXELS, variant.limits.pixels[1])


def _reduced(size: Size, area: int) -> Size:
    scale = math.sqrt(area / (size[0] * size[1]))
    return int(size[0] * scale), int(size[1] * scale)


def _cropped(size: Size) -> Size:
    width, height = (side // SIZE_MULTIPLE * SIZE_MULTIPLE for side in size)
    return width, height
