"""What there is to compute on, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass

MIN_BF16_CAPABILITY = 8
"""Major compute capability from which an NVIDIA card computes in bfloat16 (Ampere)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What torch finds: compute capability (major, minor) of each CUDA card; Apple's GPU."""

    cuda: tuple[tuple[int, int], ...] = ()
    mps: bool = False
