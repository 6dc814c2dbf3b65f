"""Judges an edited picture by rules: is what was asked done, and is the rest kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.demo.drawing import draw_sketch
from engine.demo.edits import Edit, Sketch, changed_object
from engine.demo.scenes import ShapeObject, ShapeScene, Style, WorldScene
from engine.demo.scorer import Box, Reading, read

MOST_DIFFERENCE: Final = 12.0
"""Mean difference, of 255, up to which pixels count as kept."""

_SAME: Final = 2
_NEAR: Final = 3
_COARSE: Final = 8
_SIZE_RANGE: Final = 0.18
"""Half the logarithm of the ratio of one size to the next."""


@dataclass(frozen=True)
class EditScore:
    """Whether the asked change is done, and by how much the rest is off in the mean, 0 to 255."""

    done: bool
    difference: float

    @property
    def kept(self) -> bool:
        """Whether what should not change did not."""
        return self.difference <= MOST_DIFFERENCE


def score_edit(picture: Tensor, edit: Edit) -> EditScore:
    """Compare an edited picture with what it should show.

    What should not change are the pixels in which the drawing after the edit is that before it,
    less the outline of what is newly drawn. A change of style touches every pixel: there both
    pictures are compared at an eighth of their size. picture: [3, H, W] uint8. Raises ValueError
    for edits that no rule can read: of textured backgrounds, and of the time of day.
    """
    _, height, width = picture.shape
    after = draw_sketch(edit.after, width, height)
    scene = edit.after.scene
    if edit.kind == "style" and isinstance(scene, WorldScene):
        done = _nearest_style(picture, edit.after, scene) == scene.style
        return EditScore(done, _coarse_difference(picture, after))
    if not isinstance(scene, ShapeScene) or scene.background.kind != "plain":
        raise ValueError(f"no rule judges {edit}")
    old, new = changed_object(edit)
    rows, columns = _part(scene, new or old, (height, width), edit)
    found, wanted = read(picture[:, rows, columns]), read(after[:, rows, columns])
    kept = _unchanged(edit, after)
    if edit.kind in ("add", "replace", "move", "resize") and found.box is not None:
        kept[rows, columns][_widened(found.box)] = False
    off = (picture.float() - after.float()).abs().mean(dim=0)
    return EditScore(_is_done(edit, scene, found, wanted), float(off[kept].mean()))


def _part(scene: ShapeScene, item: ShapeObject | None, size: tuple[int, int], edit: Edit) -> Box:
    """Return the rows and columns in which an object is all there is.

    size: height and width. That is the half of one of two objects, or the whole picture.
    """
    height, width = size
    most = max(len(sketch.seeds) for sketch in (*edit.before, edit.after)) - 1
    if item is None or most < 2 or edit.kind == "combine":
        return slice(0, height), slice(0, width)
    match item.place:
        case "left":
            return slice(0, height), slice(0, width // 2)
        case "right":
            return slice(0, height), slice(width // 2, width)
        case "top":
            return slice(0, height // 2), slice(0, width)
    return slice(height // 2, height), slice(0, width)


def _unchanged(edit: Edit, after: Tensor) -> Tensor:
    """Return [H, W] bool: where the drawing after is one before, apart from its outlines."""
    _, height, width = after.shape
    same = torch.zeros(height, width, dtype=torch.bool)
    for sketch in edit.before:
        before = draw_sketch(sketch, width, height)
        alike = (before.int() - after.int()).abs().amax(dim=0) <= _SAME
        apart = F.max_pool2d((~alike).float()[None], 3, stride=1, padding=1)[0]
        same |= apart == 0
    return same


def _widened(box: Box) -> Box:
    rows, columns = (slice(max(0, side.start - _NEAR), side.stop + _NEAR) for side in box)
    return rows, columns


def _is_done(edit: Edit, scene: ShapeScene, found: Reading, wanted: Reading) -> bool:
    """Compare what the part of a picture shows with what it should show."""
    if edit.kind == "background":
        return found.background == wanted.background
    if edit.kind == "remove":
        return found.box is None
    if found.box is None or wanted.box is None or found.names != wanted.names:
        return False
    if edit.kind == "resize":
        return abs(math.log(_side(found.box) / _side(wanted.box))) < _SIZE_RANGE
    free = edit.kind in ("add", "move", "combine") and len(scene.objects) == 1
    return not free or found.is_at(scene.objects[0])


def _side(box: Box) -> float:
    return math.sqrt(math.prod(side.stop - side.start for side in box))


def _nearest_style(picture: Tensor, sketch: Sketch, scene: WorldScene) -> Style:
    """Return the style in which the drawn landscape is nearest to the picture."""
    _, height, width = picture.shape

    def difference(style: Style) -> float:
        drawn = draw_sketch(replace(sketch, scene=replace(scene, style=style)), width, height)
        return float((picture.float() - drawn.float()).abs().mean())

    return min(get_args(Style), key=difference)


def _coarse_difference(picture: Tensor, other: Tensor) -> float:
    coarse = [F.avg_pool2d(one.float(), _COARSE) for one in (picture, other)]
    return float((coarse[0] - coarse[1]).abs().mean())
