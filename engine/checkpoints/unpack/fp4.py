"""Floating point of four bits: a sign, two bits of exponent, one of mantissa (OCP MX, E2M1)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_SIZES: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the codes 0 to 7 mean; 8 to 15 are their negatives."""


def fp4(codes: Tensor) -> Tensor:
    """Return what codes [...] of 0 to 15, uint8, mean: float32 [...]."""
    meaning = torch.tensor((*_SIZES, *(-size for size in _SIZES)), device=codes.device)
    return meaning[codes.int()]
