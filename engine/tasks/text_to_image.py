"""Text to image: prompts become captions, and a seed becomes the noise a picture starts from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import NumericalError
from engine.memory.studio import Model
from engine.model.config import LATENT_CHANNELS, LATENT_SCALE

TEMPLATE = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
MAX_TOKENS = 512


def caption(model: Model, prompt: str, adapted: str, warn: Callable[[str], None]) -> Tensor:
    """Return refined caption tokens [P, D] of a prompt, in the transformer's number type.

    Read at most once per model, prompt and `adapted`, which stands for the adapters that change
    captions. The text is encoded without padding, for what stands
    right of a token cannot change it. Prompts beyond 512 tokens are cut, as the reference does.
    """
    known = model.recall(prompt, adapted)
    # Counted again for a known prompt: the warning belongs to every job.
    tokens = model.tokenizer.encode(prompt.join(TEMPLATE)).ids
    if len(tokens) > MAX_TOKENS:
        warn(f"The prompt has {len(tokens)} tokens; only the first {MAX_TOKENS} are read.")
    if known is not None:
        return known
    ids = torch.tensor([tokens[:MAX_TOKENS]])
    features = model.features(ids)
    refined: Tensor = model.transformer.refine_caption(features)[0]
    if not refined.isfinite().all():
        raise NumericalError(
            f"Reading the prompt in {model.place.precision} gave numbers that are not finite.",
            "Use --precision fp32; if that does not help, the model's files are damaged.",
        )
    model.remember(prompt, adapted, refined)
    return refined


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
