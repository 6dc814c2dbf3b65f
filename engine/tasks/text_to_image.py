"""Text to image: prompts become captions, and a seed becomes the noise a picture starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import NumericalError
from engine.memory.studio import Model
from engine.memory.tensor_cache import TensorCache, key_of
from engine.model.config import LATENT_CHANNELS, LATENT_SCALE
from engine.prompts.reading import TEMPLATE, read_prompt
from engine.request import LongPrompt


def _unchecked() -> None:
    """Default `check` hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioning:
    """How a job's prompts are read.

    adapted: stands for the adapters that change captions. way: what becomes of a long prompt.
    cache: keeps what the text encoder says for the next process. check: may raise while its weights
    are read.
    """

    warn: Callable[[str], None]
    adapted: str = ""
    way: LongPrompt = LongPrompt.CUT
    cache: TensorCache | None = None
    check: Callable[[], None] = _unchecked


def caption(model: Model, prompt: str, how: Captioning) -> Tensor:
    """Return refined caption tokens [P, D] of a prompt, in the transformer's number type.

    Made at most once per model, prompt and adapters. What the text encoder says of a prompt is the
    same for all adapters. The text is encoded without padding, for what stands right of a token
    cannot change it.
    """
    reading = read_prompt(model.tokenizer, prompt, how.way)
    # Told for a known prompt too: the warning belongs to every job.
    if reading.notice is not None:
        how.warn(reading.notice)
    # No prompt holds a NUL; one that is read whole is the same in every way.
    key = prompt if len(reading.ids) == reading.total else f"{how.way}\0{prompt}"
    known = model.recall(key, how.adapted)
    if known is not None:
        return known
    refined = model.refine(features_of(model, reading.ids, how.cache, how.check))[0]
    check_finite(refined, model)
    model.remember(key, how.adapted, refined)
    return refined


def features_of(
    model: Model, tokens: Sequence[int], cache: TensorCache | None, check: Callable[[], None]
) -> Tensor:
    """Return what the text encoder says of tokens, [1, P, C] on the model's device."""
    place, key = model.place, _key(model, tokens)
    shape = (1, len(tokens), model.checkpoint.transformer.cap_feat_dim)
    kept = None if cache is None else cache.recall(key, shape, place.dtype)
    if kept is not None:
        return kept.to(place.device)
    features = model.features(torch.tensor([tokens]), check)
    check_finite(features, model)
    if cache is not None:
        cache.keep(key, features)
    return features


def _key(model: Model, tokens: Sequence[int]) -> bytes:
    """Return what features follow from: the text in its template, the encoder, and the numbers.

    A file's samples do not see every weight, so its size and time count too.
    """
    place, part = model.place, model.checkpoint.parts.text_encoder
    stamps = [header.stamp[:2] for header in part.headers]
    encoder = (part.digest, stamps, model.checkpoint.text_encoder)
    numbers = (place.precision, str(place.dtype), torch.device(place.device).type)
    return key_of(TEMPLATE, tokens, encoder, numbers)


def check_finite(read: Tensor, model: Model, what: str = "prompt") -> None:
    """Refuse what was read of a prompt or picture, [...], if it would spoil every picture."""
    if not read.isfinite().all():
        raise NumericalError(
            f"Reading the {what} in {model.place.precision} gave numbers that are not finite.",
            "Use --precision fp32; if that does not help, the model's files are damaged.",
        )


def noise(seed: int, count: int, width: int, height: int, draw: int = 0) -> Tensor:
    """Return the noise of pictures of `width` x `height` pixels, [count, 16, h, w] float32.

    Picture i is drawn on the CPU from `seed + i` alone, so that it is the same on every device and
    in every batch. draw: 0 is what a picture starts from, the others are for samplers that add
    noise.
    """
    shape = (1, LATENT_CHANNELS, height // LATENT_SCALE, width // LATENT_SCALE)
    generators = (torch.Generator().manual_seed(seed + i) for i in range(count))
    drawn = [torch.randn((draw + 1, *shape), generator=g)[draw] for g in generators]
    return torch.cat(drawn)
