"""Works on tokens part by part, so that what is computed on the way stays small.

On the CPU it then stays in the processor's cache too: tensors of all tokens cost several times as
much, most of it page faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from engine.model.footprint import PRODUCT_TOKENS, part_size

_CACHED_TOKENS: Final = 128


def tokenwise(
    work: Callable[..., Tensor], *inputs: Tensor, out: Tensor | None = None, most: int | None = None
) -> Tensor:
    """Return `work(*inputs)`, which treats every token alone, done for some tokens at a time.

    inputs: [G or 1, T, ...] each, the first with all G. out: [G, T, ...], overwritten where that
    saves memory; it may be one of the inputs. most: how many tokens to work on at once; left out,
    as many as suit simple arithmetic. Parts depend on numbers of tokens and the kind of device
    alone. Nothing is cut where gradients are taken or a compiler fuses the work.
    """
    count, tokens = inputs[0].shape[:2]
    size = part_size(count, tokens, most or _simple_tokens(inputs[0].device))
    if size >= tokens or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return work(*inputs)
    parts = [work(*(each[:, :size] for each in inputs))]
    place = parts[0].new_empty(count, tokens, *parts[0].shape[2:]) if out is None else out
    for start in range(0, tokens, size):
        here = slice(start, start + size)
        place[:, here] = parts.pop() if parts else work(*(each[:, here] for each in inputs))
    return place


def _simple_tokens(device: torch.device) -> int:
    return _CACHED_TOKENS if device.type == "cpu" else PRODUCT_TOKENS
