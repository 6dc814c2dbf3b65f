"""How a latent picture becomes tokens, and tokens of a sequence a picture again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def patchify(latents: Tensor, patch: int) -> Tensor:
    """Cut [B, C, h, w] into tokens [B, T, patch*patch*C], row-major, channel fastest."""
    count, channels, height, width = latents.shape
    cells = latents.reshape(count, channels, height // patch, patch, width // patch, patch)
    return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(tokens: Tensor, height: int, width: int, patch: int) -> Tensor:
    """Put tokens [B, T, patch*patch*C] back together, -> [B, C, height, width]."""
    rows, columns = height // patch, width // patch
    cells = tokens.reshape(len(tokens), rows, columns, patch, patch, -1)
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def join(image: Tensor, captions: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Append captions to images [B, T, D]: [B, T + L, D], or one ragged row [1, N, D]."""
    if isinstance(captions, Tensor):
        return torch.cat([image, captions], dim=1)
    pairs = zip(image.split(1), captions, strict=True)
    return torch.cat([part for pair in pairs for part in pair], dim=1)


def image_part(x: Tensor, tokens: int, lengths: Sequence[int] | None) -> Tensor:
    """Take the first `tokens` tokens of each sequence of `x`, [G, T, D] -> [B, tokens, D]."""
    if lengths is None:
        return x[:, :tokens]
    return torch.cat([part[:, :tokens] for part in x.split(list(lengths), dim=1)])
