"""The masks of a request: read, checked, and laid on the picture that is to be made. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import BadRequest
from engine.images.fit import Size, cover
from engine.inputs import find_input
from engine.request import Request

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Masks:
    """Grey masks of 8 bits, all of the whole picture's size.

    whole: what is repainted. regions: of the prompts of their own. notices: for the user.
    """

    whole: Image.Image
    regions: tuple[Image.Image, ...]
    notices: tuple[str, ...]


def read_masks(request: Request, seen: Size, base: Size, data_dir: Path) -> Masks:
    """Return the masks of a request to repaint a picture.

    seen: the picture's size as it is given, which the masks have. base: its size without what it is
    extended by. Raise an error of the tree for a mask that is none, or is empty.
    """
    # Pillow is not there yet when the installer imports the engine.
    from PIL import Image

    from engine.images.mask import open_mask, together

    left, top, right, bottom = request.extend
    size = (base[0] + left + right, base[1] + top + bottom)
    notices = []

    def laid(name: str) -> Image.Image:
        path = find_input(name, data_dir)
        mask, notice = open_mask(path, seen, soft=request.soft)
        notices.extend([notice] if notice else [])
        how = Image.Resampling.BILINEAR if request.soft else Image.Resampling.NEAREST
        placed = Image.new("L", size)
        placed.paste(cover(mask, base, how), (left, top))
        return placed

    regions = tuple(laid(region.mask) for region in request.regions)
    margins = Image.new("L", size, 255)
    margins.paste(0, (left, top, left + base[0], top + base[1]))
    drawn = () if request.mask is None else (laid(request.mask),)
    whole = together((*drawn, *regions, margins), size)
    if whole.getbbox() is None:
        raise BadRequest(
            "The mask is empty: nothing in it is white, so nothing would be repainted.",
            "Paint over what is to change.",
        )
    return Masks(whole, regions, tuple(dict.fromkeys(notices)))
