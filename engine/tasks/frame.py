"""What a job paints, in pixels and steps: decided by the headers of its pictures. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checks import MIN_SIDE
from engine.errors import BadRequest
from engine.images.fit import (
    Box,
    Size,
    extent,
    grown,
    nearest,
    of_area,
    rounded_up,
    shaped,
    shown,
    widened,
)
from engine.images.measure import picture_size
from engine.inputs import find_input
from engine.request import MAX_PIXELS, MAX_SIDE, Request, Task
from engine.tasks.kind import decide_task
from engine.tasks.masks import Masks, read_masks
from engine.tasks.reading import PictureSizes, reading_sizes, target_size
from engine.variants import Variant

LARGEST: Final = 2048 * 2048
"""Pixels of the largest picture that any model was trained on."""

_TRIED: Final = 4
"""So many times the pixels that a model was trained on are still tried with it."""

_LONGEST: Final = 4
"""So many times as long as wide a window may be: models were trained on no longer shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is painted and where it belongs.

    size: width and height that are painted, in pixels. whole: those of the picture that is saved.
    box: the part of that which is painted at another scale, None = all, filled up at the right and
    the bottom. first: the step that is begun with, of `steps`. encodes, prompts: as in `Work`.
    readings: of each picture that is read along with the prompt.
    """

    task: Task
    size: Size
    whole: Size
    box: Box | None = None
    masks: Masks | None = None
    first: int = 0
    steps: int = 1
    encodes: tuple[Size, ...] = ()
    prompts: int = 1
    readings: tuple[PictureSizes, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def is_still(self) -> bool:
        """Say whether nothing is painted, for the strength is 0."""
        return self.first == self.steps


def frame_of(request: Request, variant: Variant, data_dir: Path) -> Frame:
    """Return what a complete request paints.

    Raise an error of the tree for a task that cannot be, and for a picture or a mask that is not
    there or does not serve.
    """
    task, steps = decide_task(request, variant), request.steps or 1
    if task is Task.GENERATE:
        size = (request.width or MIN_SIDE, request.height or MIN_SIDE)
        return Frame(task=task, size=size, whole=size, steps=steps)
    sizes = [picture_size(find_input(name, data_dir)) for name in request.images]
    if task is Task.INPAINT:
        return _inpainted(request, variant, sizes[0], data_dir)
    if task is Task.EDIT:
        return _edited(request, variant, sizes)
    size, notices = _redrawn(request, variant, sizes[0])
    return Frame(
        task=task,
        size=size,
        whole=size,
        first=first_step(steps, request.strength),
        steps=steps,
        encodes=(size,),
        notices=notices,
    )


def first_step(steps: int, strength: float | None) -> int:
    """Return the step, from 0, that a picture of a strength is begun with, as the reference."""
    begun = min(steps * (1.0 if strength is None else strength), steps)
    return int(max(steps - begun, 0))


def _edited(request: Request, variant: Variant, sizes: Sequence[Size]) -> Frame:
    usual = target_size(sizes[-1], variant)
    size = (request.width or usual[0], request.height or usual[1])
    readings = tuple(reading_sizes(request, variant, sizes))
    return Frame(
        task=Task.EDIT,
        size=size,
        whole=size,
        steps=request.steps or 1,
        encodes=tuple(reading.encoded for reading in readings),
        readings=readings,
    )


def _redrawn(request: Request, variant: Variant, seen: Size) -> tuple[Size, tuple[str, ...]]:
    if request.width or request.height:
        return _asked(request, nearest(seen), seen)
    most = variant.limits.pixels[1]
    pixels = seen[0] * seen[1]
    if pixels > min(_TRIED * most, max(most, LARGEST)):
        size = of_area(seen, most)
        return size, (
            f"The picture of {shown(seen)} is redrawn at {shown(size)}, for {variant.title} "
            "paints none so large.",
        )
    size = nearest(seen)
    if size == seen:
        return size, ()
    return size, (
        f"The picture of {shown(seen)} is redrawn at {shown(size)}: sides are multiples of 16, "
        f"up to {MAX_SIDE}.",
    )


def _asked(request: Request, usual: Size, seen: Size) -> tuple[Size, tuple[str, ...]]:
    """Return the size that a request names, and what that does to the picture."""
    size = (request.width or usual[0], request.height or usual[1])
    if size == seen:
        return size, ()
    return size, (
        f"The picture of {shown(seen)} is resized to cover {shown(size)}, and cropped at its "
        "centre.",
    )


def _inpainted(request: Request, variant: Variant, seen: Size, data_dir: Path) -> Frame:
    named = bool(request.width or request.height)
    base, notices = _asked(request, seen, seen) if named else (seen, ())
    left, top, right, bottom = request.extend
    whole = (base[0] + left + right, base[1] + top + bottom)
    if whole[0] * whole[1] > MAX_PIXELS:
        raise BadRequest(
            f"The extended picture would have {shown(whole)} pixels, more than "
            f"{MAX_PIXELS // 1_000_000} million.",
            "Extend it by less, or take a smaller picture.",
        )
    masks = read_masks(request, seen, base, data_dir)
    alone = request.masked_only
    if max(whole) > MAX_SIDE and not alone:
        alone = True
        notices = (
            *notices,
            f"Only the part around the mask is painted, for no picture of {shown(whole)} can be.",
        )
    box = _detail(request, masks, variant) if alone else None
    size = rounded_up(whole) if box is None else _detail_size(box, variant)
    steps = request.steps or 1
    return Frame(
        task=Task.INPAINT,
        size=size,
        whole=whole,
        box=box,
        masks=masks,
        first=first_step(steps, request.strength),
        steps=steps,
        encodes=(size,),
        prompts=1 + len(masks.regions),
        notices=(*notices, *masks.notices),
    )


def _detail(request: Request, masks: Masks, variant: Variant) -> Box:
    """Return the box around the mask that is painted by itself."""
    white = masks.whole.getbbox() or (0, 0, *masks.whole.size)
    # The feather must lie inside, for beyond the box there is nothing to blend.
    box = grown(white, max(request.context, request.feather), masks.whole.size)
    box = widened(box, _LONGEST, masks.whole.size)
    return shaped(box, _detail_size(box, variant), masks.whole.size)


def _detail_size(box: Box, variant: Variant) -> Size:
    """Return the size that a model paints best, of the shape of a box.

    As large as the box, unless that is more than the model can.
    """
    wide, high = extent(box)
    best = variant.defaults.width * variant.defaults.height
    return of_area((wide, high), min(max(wide * high, best), variant.limits.pixels[1]))
