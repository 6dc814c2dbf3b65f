"""What lies under a mask before it is repainted."""

from __future__ import annotations

import torch
from PIL import Image, ImageFilter

from engine.images.pixels import image_of
from engine.request import Fill

_WIDEST = 4
"""The widest blur reaches over this part of the longer side."""


def filled(
    picture: Image.Image, mask: Image.Image, fill: Fill, colour: str, seed: int
) -> Image.Image:
    """Return an RGB picture with something else under the white of a grey mask of its size.

    colour: #rrggbb. seed: of the noise. BLUR: the colours around, flowing in.
    """
    match fill:
        case Fill.ORIGINAL:
            return picture
        case Fill.COLOUR:
            under = Image.new("RGB", picture.size, colour)
        case Fill.NOISE:
            under = _noise(picture, seed)
        case Fill.BLUR:
            under = _flown_in(picture, mask)
    return Image.composite(under, picture, mask)


def _noise(picture: Image.Image, seed: int) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    shape = (picture.height, picture.width, 3)
    return image_of(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))


def _flown_in(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Return colours from outside a mask everywhere, from wide blurs under narrow ones."""
    outside = picture.copy()
    outside.putalpha(mask.point(lambda level: 255 - level))
    clear = outside.convert("RGBa")
    whole = clear.resize((1, 1), Image.Resampling.BOX).convert("RGBA")
    under = whole.resize(picture.size).convert("RGB")
    radius = max(picture.size) // _WIDEST
    while radius >= 1:
        blurred = clear.filter(ImageFilter.BoxBlur(radius)).convert("RGBA")
        under.paste(blurred.convert("RGB"), mask=blurred.getchannel("A").point(_some))
        radius //= 2
    return under


def _some(alpha: int) -> int:
    """Say where enough is left of what a blur took together for its colour to be right."""
    return 255 * (alpha >= 16)
