"""Opens the pictures of a job, and says what its task does with them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from engine.images.fill import filled
from engine.images.fit import cover
from engine.images.open import open_picture
from engine.images.pixels import image_of, mirrored, pixels_of
from engine.inputs import find_input
from engine.request import Request, Task
from engine.tasks.frame import Frame
from engine.tasks.inpaint import Inpaint, Window
from engine.tasks.procedure import FromWords, Procedure, Redraw


def procedure_of(request: Request, frame: Frame, data_dir: Path) -> Procedure:
    """Return what the task of a complete request does; raise for a picture that is damaged."""
    pictures = tuple(open_picture(find_input(name, data_dir)) for name in request.images)
    match frame.task:
        case Task.REDRAW:
            fitting = cover if request.width or request.height else _resized
            return Redraw(pixels_of(fitting(pictures[0], frame.size, Image.Resampling.LANCZOS)))
        case Task.INPAINT:
            return _inpaint(request, frame, pictures[0])
        case _:
            return FromWords(pictures)


def _resized(picture: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, how)


def _inpaint(request: Request, frame: Frame, picture: Image.Image) -> Inpaint:
    if frame.masks is None:
        raise TypeError("a frame to repaint holds its masks")
    left, top, right, bottom = request.extend
    base = (frame.whole[0] - left - right, frame.whole[1] - top - bottom)
    whole = cover(picture, base, Image.Resampling.LANCZOS)
    if any(request.extend):
        whole = image_of(mirrored(pixels_of(whole), request.extend))
    mask = frame.masks.whole
    box = frame.box or (0, 0, *whole.size)
    return Inpaint(
        picture=whole,
        filled=filled(whole, mask, request.fill, request.fill_colour, request.seed or 0),
        mask=mask,
        regions=frame.masks.regions,
        window=Window(box, frame.size, frame.box is not None),
        feather=request.feather,
        soft=request.soft,
    )
