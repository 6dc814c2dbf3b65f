"""Rounds matrices to int8: weights with one scale a row, activations with one scale a token."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

LARGEST: Final = 127
"""Largest number of the symmetric int8 range."""

SHIFT: Final = 128
"""Added to make signed bytes unsigned, which processors multiply with signed ones."""

_ROWS_AT_ONCE: Final = 512
_CACHED_TOKENS: Final = 128

_SMALLEST: Final = 1e-30
"""Nothing is divided by less, so that a token of zeros stays one."""


class Rows(NamedTuple):
    """An int8 matrix: `values` int8 [N, K] times `scales` float [N], one a row."""

    values: Tensor
    scales: Tensor


def quantise_rows(weight: Tensor) -> Rows:
    """Round a weight [N, K], float, to int8 rows, bit for bit as optimum-quanto does.

    That is absmax / 127 a row, computed in bfloat16 for weights of that type, else in float32
    (float16 has no room for small scales); the scales keep the type. A row of zeros has the scale
    0. NaN or infinity anywhere in a row makes its scale so.
    """
    values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    dtype = torch.bfloat16 if weight.dtype is torch.bfloat16 else torch.float32
    scales = torch.empty(len(weight), dtype=dtype, device=weight.device)
    # Some rows at a time: what is computed on the way stays small.
    blocks = (part.split(_ROWS_AT_ONCE) for part in (weight, values, scales))
    for block, some_values, some_scales in zip(*blocks, strict=True):
        own = block.to(dtype)
        torch.div(own.abs().amax(dim=1), LARGEST, out=some_scales)
        divisors = some_scales.masked_fill(some_scales == 0, 1.0).unsqueeze(1)
        some_values.copy_((own / divisors).round_().clamp_(-LARGEST - 1, LARGEST))
    return Rows(values, scales)


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens `x` [T, K] in steps of their scales: float32 [T, K] within ±127.3, and [T, 1].

    What is returned is not yet rounded, so that it can be shifted first. The scales have the type
    of `x`, which multiplies fastest by them. Zeros have the scale 0; a token that is not finite has
    a scale that is not.
    """
    scales = x.abs().amax(dim=1, keepdim=True).div_(LARGEST)
    factors = scales.float().clamp_min(_SMALLEST).reciprocal_()
    # In place on the copy: mixed types take twice as long.
    steps = x * factors if x.dtype is torch.float32 else x.float().mul_(factors)
    return steps, scales


def whole_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens `x` [T, K] in whole steps above -128 of their scales: uint8 [T, K], and [T, 1].

    The scales are those of `quantise_tokens`.
    """
    whole = torch.empty(x.shape, dtype=torch.uint8, device=x.device)
    scales = x.new_empty(len(x), 1)
    # In parts that fit a processor's cache: three times as fast there.
    size = _CACHED_TOKENS if x.device.type == "cpu" else max(1, len(x))
    parts = (part.split(size) for part in (x, whole, scales))
    for tokens, some_whole, some_scales in zip(*parts, strict=True):
        steps, found = quantise_tokens(tokens)
        # Cutting off decimals of what is above zero rounds it, half a step higher.
        some_whole.copy_(steps.add_(SHIFT + 0.5))
        some_scales.copy_(found)
    return whole, scales


def is_finite(weight: Tensor) -> bool:
    """Say whether a weight [...], float, holds neither NaN nor infinity; mostly in one pass."""
    if math.isfinite(weight.sum(dtype=torch.float32).item()):
        return True
    # The sum of very large numbers overflows though each of them is finite.
    return bool(weight.isfinite().all())
