"""Reads colour, shape and place back from a picture of one object before a plain background."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as F

from engine.demo.palette import COLOURS
from engine.demo.scenes import PLACES, SHAPES, Place, Shape, ShapeObject, ShapeScene
from engine.demo.shapes import Pose, place_centre, shape_mask

_GRID: Final = 40
_TILTS: Final = (-10.0, -6.0, -2.0, 2.0, 6.0, 10.0)
# Above the overlap of a star with any other outline (0.62); thin arms that bend a little lower the
# overlap of a shape that is plainly right to about 0.7.
_LEAST_OVERLAP: Final = 0.65
_LEAST_SIDE: Final = 8
_RIM: Final = 3
_LEAST_DIFFERENCE: Final = 40.0
_LEAST_SHARE: Final = 0.004
"""A picture holds no object where fewer pixels than this share differ from the background."""


@dataclass(frozen=True)
class Score:
    """Which parts of a scene a picture shows as asked."""

    background: bool
    colour: bool
    shape: bool
    place: bool


Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Reading:
    """What a picture of `size` (width, height) shows; None where there is no object."""

    size: tuple[int, int]
    background: str
    colour: str | None = None
    shape: Shape | None = None
    box: Box | None = None

    @property
    def names(self) -> tuple[str, str | None, str | None]:
        """The background's, the object's color and its shape."""
        return self.background, self.colour, self.shape

    def is_at(self, item: ShapeObject) -> bool:
        """Say whether there is an object nearest to the place of `item`."""
        if self.box is None:
            return False
        y, x = ((side.start + side.stop) / 2.0 for side in self.box)

        def distance(place: Place) -> float:
            return math.dist((x, y), place_centre(place, item.size, *self.size))

        return min(PLACES, key=distance) == item.place


def score(picture: torch.Tensor, scene: ShapeScene) -> Score:
    """Compare a picture with the scene of one object before a plain background it should show.

    picture: [3, H, W] uint8. Raises ValueError for any other kind of scene.
    """
    if scene.background.kind != "plain" or len(scene.objects) != 1:
        message = f"Only one object before a plain background can be scored, not {scene}."
        raise ValueError(message)
    item, found = scene.objects[0], read(picture)
    return Score(
        background=found.background == scene.background.colours[0],
        colour=found.colour == item.colour,
        shape=found.shape == item.shape,
        place=found.is_at(item),
    )


def read(picture: torch.Tensor) -> Reading:
    """Read the background and the one object of a picture.

    The background is the median of the rim. The object is what lies nearer its own colour than the
    background's; its shape is that of the best overlapping outline. picture: [3, H, W] uint8.
    """
    pixels = picture.float()
    ground = _rim_colour(pixels)
    away = (pixels - ground.view(3, 1, 1)).square().sum(dim=0).sqrt()
    size, background = (picture.shape[2], picture.shape[1]), _nearest_colour(ground)
    if float((away > _LEAST_DIFFERENCE).float().mean()) < _LEAST_SHARE:
        return Reading(size, background)
    mask = _object_mask(pixels, ground)
    box = _box(mask)
    if box is None:
        return Reading(size, background)
    colour = _nearest_colour(pixels[:, mask].median(dim=1).values)
    return Reading(size, background, colour, _read_shape(mask[box]), box)


def _rim_colour(pixels: torch.Tensor) -> torch.Tensor:
    rim = torch.ones(pixels.shape[1:], dtype=torch.bool)
    rim[_RIM:-_RIM, _RIM:-_RIM] = False
    return pixels[:, rim].median(dim=1).values


def _nearest_colour(colour: torch.Tensor) -> str:
    table = torch.tensor(list(COLOURS.values()), dtype=torch.float32)
    return list(COLOURS)[int((table - colour).square().sum(dim=1).argmin())]


def _object_mask(pixels: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Return [H, W] bool: more than half the way from the background's to the object's colour."""
    away = (pixels - ground.view(3, 1, 1)).square().sum(dim=0).sqrt()
    distinct = away >= 0.6 * away.max()
    toward = pixels[:, distinct].median(dim=1).values - ground
    share = torch.einsum("chw,c->hw", pixels - ground.view(3, 1, 1), toward)
    mask = (share > 0.5 * toward.square().sum()).float()
    return F.avg_pool2d(mask[None, None], 3, stride=1, padding=1)[0, 0] > 0.5


def _box(mask: torch.Tensor) -> Box | None:
    """Return the rows and columns that hold the mask, or None where it is too small to read."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    if not len(rows):
        return None
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return box if min(side.stop - side.start for side in box) >= _LEAST_SIDE else None


def _read_shape(mask: torch.Tensor) -> Shape | None:
    """Return the shape whose outline overlaps best, or None where none overlaps well."""
    found = _fitted(mask)
    templates = torch.stack([_template(shape, tilt) for shape in SHAPES for tilt in _TILTS])
    both = torch.minimum(templates, found).sum(dim=(1, 2))
    either = torch.maximum(templates, found).sum(dim=(1, 2))
    overlap, index = (both / either).max(dim=0)
    return SHAPES[int(index) // len(_TILTS)] if float(overlap) >= _LEAST_OVERLAP else None


def _template(shape: Shape, tilt: float) -> torch.Tensor:
    side = 4 * _GRID
    drawn = shape_mask(shape, Pose(side / 2.0, side / 2.0, side / 2.5, tilt), (side, side))
    drawn = drawn.crop(drawn.getbbox())
    flat = torch.frombuffer(bytearray(drawn.tobytes()), dtype=torch.uint8)
    return _fitted(flat.view(drawn.height, drawn.width) > 127)


def _fitted(mask: torch.Tensor) -> torch.Tensor:
    """Return the mask stretched to the grid as [GRID, GRID] float32, 0 to 1."""
    return F.interpolate(mask.float()[None, None], (_GRID, _GRID), mode="bilinear", antialias=True)[
        0, 0
    ]
