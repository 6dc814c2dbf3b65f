"""Picture sizes: a shape, how many megapixels, the exact sides, and what a model was trained on."""

from __future__ import annotations

import math
import re
from typing import Final

from engine import MAX_SIDE, MIN_SIDE, SIDE_MULTIPLE, BadRequest, Shape, Variant
from ui import presets_strings, strings
from ui.markup import Markup, tag

MEGAPIXELS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
STANDARD: Final = 1.0
"""The megapixels at which a shape has exactly the sides that the model's preset names."""

MAX_RATIO: Final = 10.0
ONE_SIZE: Final = 2.0
"""A model whose largest picture has fewer times the pixels of its smallest knows one size only."""

_RATIO = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*[:xX×/]\s*(\d{1,6}(?:\.\d{1,6})?)\s*")


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


def other_shapes(shapes: tuple[Shape, ...]) -> list[tuple[str, str]]:
    """Return label and name of the shapes that any model may paint in."""
    return [(f"{shape.group} · {shape.title}", shape.title) for shape in shapes]


def ratio_of(text: str, shapes: tuple[Shape, ...]) -> float:
    """Return width / height of a named shape, or of one written as 5:4; raise `BadRequest`."""
    named = next((shape for shape in shapes if shape.title == text), None)
    if named is not None:
        return named.width / named.height
    found = _RATIO.fullmatch(text)
    width, height = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not width or not height or not 1 / MAX_RATIO <= width / height <= MAX_RATIO:
        raise BadRequest(presets_strings.bad_shape(text), presets_strings.BAD_SHAPE_ACTION)
    return width / height


def fitting(variant: Variant, ratio: float, megapixels: float) -> tuple[int, int]:
    """Return the sides in pixels of a ratio, width / height, as large as a shape of the model.

    Multiples of 16; of those around, the pair whose ratio is the nearest.
    """
    usual = variant.sizes[0]
    area = usual.width * usual.height * megapixels / STANDARD
    width = math.sqrt(area * ratio)
    nearest = {_side(width), _side(width - SIDE_MULTIPLE / 2), _side(width + SIDE_MULTIPLE / 2)}
    pairs = [(side, _side(side / ratio)) for side in nearest]
    return min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1] / ratio)))


def note_markup(variant: Variant, width: float | None, height: float | None) -> Markup:
    """Return a warning where a size lies beyond what the model was trained on, else nothing."""
    # A number field sends None while it is empty, and NaN where a program asks for it.
    if width is None or height is None or not math.isfinite(width * height):
        return Markup("")
    (short, long), (low, high) = variant.limits.sides, variant.limits.pixels
    fits = short <= min(width, height) and max(width, height) <= long
    if fits and low <= width * height <= high:
        return Markup("")
    said = [presets_strings.beyond(variant.title, width, height)]
    if high > ONE_SIZE * low:
        said.append(presets_strings.trained(math.isqrt(low), math.isqrt(high)))
    return tag("p", " ".join(said), class_="note warn", role="status")


def _scaled(side: int, megapixels: float) -> int:
    return _side(side * math.sqrt(megapixels / STANDARD))


def _side(pixels: float) -> int:
    multiple = round(pixels / SIDE_MULTIPLE) * SIDE_MULTIPLE
    return min(MAX_SIDE, max(MIN_SIDE, multiple))
