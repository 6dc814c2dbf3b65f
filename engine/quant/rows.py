"""Rounds matrices to int8: weights with one scale a row, activations with one scale a token."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

LARGEST: Final = 127
"""Largest number of the symmetric int8 range."""

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
    own = weight if weight.dtype is torch.bfloat16 else weight.float()
    scales = own.abs().amax(dim=1, keepdim=True) / LARGEST
    divisors = torch.where(scales == 0, torch.ones_like(scales), scales)
    values = (own / divisors).round_().clamp_(-LARGEST - 1, LARGEST).to(torch.int8)
    return Rows(values, scales.flatten())


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens `x` [T, K] in steps of their scales: float32 [T, K] within ±127, and [T, 1].

    What is returned is not yet rounded, so that it can be shifted first. Zeros have the scale 0;
    a token that is not finite has a scale that is not.
    """
    absmax = x.abs().amax(dim=1, keepdim=True).float()
    return x * (LARGEST / absmax.clamp_min(_SMALLEST)), absmax / LARGEST


def is_finite(weight: Tensor) -> bool:
    """Say whether a weight [...], float, holds neither NaN nor infinity; mostly in one pass."""
    if math.isfinite(weight.sum(dtype=torch.float32).item()):
        return True
    # The sum of very large numbers overflows though each of them is finite.
    return bool(weight.isfinite().all())
