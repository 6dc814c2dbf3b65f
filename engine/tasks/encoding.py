"""What networks make of input pictures: of each picture once, whatever the picture is for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.checkpoints.checkpoint import Part
from engine.images.pixels import model_range
from engine.memory.model import Model
from engine.memory.tensor_cache import TensorCache, key_of
from engine.model.config import LATENT_CHANNELS, LATENT_SCALE
from engine.model.vae_strips import Strips
from engine.tasks.text_to_image import check_finite


def latents_of(model: Model, pixels: Tensor, strips: Strips, cache: TensorCache) -> Tensor:
    """Return the latents [1, 16, H / 8, W / 8] float32 of a picture [H, W, 3] uint8, on the CPU.

    The autoencoder is left alone where `cache` knows the picture. Raise `NumericalError`.
    """
    height, width, _ = pixels.shape
    shape = (1, LATENT_CHANNELS, height // LATENT_SCALE, width // LATENT_SCALE)
    key = picture_key(model, model.checkpoint.parts.vae, model.checkpoint.vae, pixels)

    def encode() -> Tensor:
        return model.vae_encode(model_range(pixels), strips)

    return known_or_made(model, cache, key, shape, encode)


def picture_key(model: Model, part: Part, config: object, pixels: Tensor) -> bytes:
    """Return what a tensor follows from: a network, its numbers, and a picture [H, W, 3] uint8.

    part, config: the network's files and its shape.
    """
    place = model.place
    # A file's samples do not see every weight, so its size and time count too.
    stamps = [header.stamp[:2] for header in part.headers]
    numbers = (str(place.dtype), torch.device(place.device).type)
    name = hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()
    return key_of(repr(config), part.digest, stamps, numbers, tuple(pixels.shape), name)


def known_or_made(
    model: Model,
    cache: TensorCache,
    key: bytes,
    shape: Sequence[int],
    make: Callable[[], Tensor],
) -> Tensor:
    """Return the float32 tensor of a shape that is kept under a key, or else made and kept.

    Raise `NumericalError` for one with numbers that are not finite.
    """
    known = cache.recall(key, shape, torch.float32)
    if known is None:
        known = make()
        check_finite(known, model, "picture")
        cache.keep(key, known)
    return known
