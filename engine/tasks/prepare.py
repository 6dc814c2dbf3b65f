"""Opens the pictures of a job, and says what its task does with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from torch import Tensor

from engine.errors import NumericalError
from engine.images.fill import filled
from engine.images.fit import cover
from engine.images.open import open_picture
from engine.images.pixels import image_of, mirrored, model_range, pixels_of
from engine.inputs import find_input
from engine.memory.model import Model
from engine.memory.tensor_cache import TensorCache, key_of
from engine.model.config import LATENT_CHANNELS, LATENT_SCALE
from engine.model.vae_strips import Strips
from engine.request import Request, Task
from engine.tasks.frame import Frame
from engine.tasks.inpaint import Inpaint, Window
from engine.tasks.procedure import FromWords, Procedure, Redraw

_LATENTS: Final = "whole picture"


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


def encoder(model: Model, strips: Strips, cache: TensorCache) -> Callable[[Tensor], Tensor]:
    """Return what gives the latents [1, 16, h, w] float32 of pictures [H, W, 3] uint8.

    The autoencoder is left alone where `cache` knows the picture.
    """

    def encode(pixels: Tensor) -> Tensor:
        height, width, _ = pixels.shape
        key = _key(model, pixels)
        shape = (1, LATENT_CHANNELS, height // LATENT_SCALE, width // LATENT_SCALE)
        known = cache.recall(key, shape, torch.float32)
        if known is not None:
            return known
        latents = model.vae_encode(model_range(pixels), strips)
        if not latents.isfinite().all():
            raise NumericalError(
                f"Encoding the picture in {model.place.precision} gave numbers that are no picture "
                "(NaN or infinity).",
                "Use --precision fp32; if that does not help, the model's files are damaged.",
            )
        cache.keep(key, latents)
        return latents

    return encode


def _key(model: Model, pixels: Tensor) -> bytes:
    """Return what latents follow from: the pixels [H, W, 3], the autoencoder, and the numbers."""
    place, part = model.place, model.checkpoint.parts.vae
    stamps = [header.stamp[:2] for header in part.headers]
    numbers = (str(place.dtype), torch.device(place.device).type)
    name = hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()
    facts = (_LATENTS, name, tuple(pixels.shape), part.digest, stamps)
    return key_of(*facts, repr(model.checkpoint.vae), numbers)


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
