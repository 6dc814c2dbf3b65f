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

_QUANTISED_IN: Final = frozenset({torch.bfloat16, torch.float16, torch.float32})


class Rows(NamedTuple):
    """An int8 matrix: `values` int8 [N, K] times `scales` float [N], one a row."""

    values: Tensor
    scales: Tensor


def quantise_rows(weight: Tensor) -> Rows:
    """Round a weight [N, K], float, to int8 rows, bit for bit as optimum-quanto does.

    That is absmax / 127 a row, in the weight's own number type, which the scales keep. A row of
    zeros has the scale 0. NaN or infinity anywhere in a row makes its scale so.
    """
    own = weight if weight.dtype in _QUANTISED_IN else weight.float()
    scales = own.abs().amax(dim=1, keepdim=True) / LARGEST
    if own.dtype is torch.float16 and _is_too_fine(scales):
        return quantise_rows(own.float())
    divisors = torch.where(scales == 0, torch.ones_like(scales), scales)
    values = (own / divisors).round_().clamp_(-LARGEST - 1, LARGEST).to(torch.int8)
    return Rows(values, scales.flatten())


def _is_too_fine(scales: Tensor) -> bool:
    """Say whether some of `scales` [N, 1] float16 lie where that type loses its digits."""
    smallest = torch.finfo(torch.float16).smallest_normal
    return bool((scales < smallest).logical_and(scales > 0).any())


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
