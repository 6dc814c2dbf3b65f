"""Text to image: prompts become captions, and a seed becomes the noise a picture starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.errors import NumericalError
from engine.memory.studio import Model
from engine.memory.tensor_cache import TensorCache, key_of
from engine.model.config import LATENT_CHANNELS, LATENT_SCALE

TEMPLATE = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
MAX_TOKENS = 512


def caption(
    model: Model,
    prompt: str,
    adapted: str,
    warn: Callable[[str], None],
    cache: TensorCache | None = None,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return refined caption tokens [P, D] of a prompt, in the transformer's number type.

    Made at most once per model, prompt and `adapted`, which stands for the adapters that change
    captions. What the text encoder says of a prompt is the same for all adapters, and is kept in
    `cache` for the next process; `check` may raise while its weights are read. The text is encoded
    without padding, for what stands right of a token cannot change it. Prompts beyond 512 tokens
    are cut, as the reference does.
    """
    known = model.recall(prompt, adapted)
    # Counted again for a known prompt: the warning belongs to every job.
    tokens = model.tokenizer.encode(prompt.join(TEMPLATE)).ids
    if len(tokens) > MAX_TOKENS:
        warn(f"The prompt has {len(tokens)} tokens; only the first {MAX_TOKENS} are read.")
    if known is not None:
        return known
    refined = model.refine(_features(model, tokens[:MAX_TOKENS], cache, check))[0]
    _check_finite(refined, model)
    model.remember(prompt, adapted, refined)
    return refined


def _features(
    model: Model, tokens: Sequence[int], cache: TensorCache | None, check: Callable[[], None]
) -> Tensor:
    """Return what the text encoder says of tokens, [1, P, C] on the model's device."""
    place, key = model.place, _key(model, tokens)
    shape = (1, len(tokens), model.checkpoint.transformer.cap_feat_dim)
    kept = None if cache is None else cache.recall(key, shape, place.dtype)
    if kept is not None:
        return kept.to(place.device)
    features = model.features(torch.tensor([tokens]), check)
    _check_finite(features, model)
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


def _check_finite(read: Tensor, model: Model) -> None:
    """Refuse what was read from a prompt, [...], if it would spoil every picture."""
    if not read.isfinite().all():
        raise NumericalError(
            f"Reading the prompt in {model.place.precision} gave numbers that are not finite.",
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
