"""Noise schedules of rectified flow: which sigmas a picture passes, from 1 (noise) to 0."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(sigmas: Tensor, shift: float) -> Tensor:
    """Move sigmas [S] in 0..1 towards noise: `shift * s / (1 + (shift - 1) * s)`.

    Shift 1 changes nothing (Stable Diffusion 3, arXiv 2403.03206, equation 23).
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def schedule(steps: int, shift: float) -> Tensor:
    """Return the sigmas of `steps` evaluations, [steps + 1] float32, from 1 down to exactly 0.

    The last evaluation stands at the shifted 1/steps: N steps are N useful evaluations.
    """
    sigmas = shifted(torch.linspace(1.0, 1.0 / steps, steps, dtype=torch.float32), shift)
    return torch.cat([sigmas, torch.zeros(1)])


def model_times(sigmas: Tensor) -> Tensor:
    """Return the times that the network is told, [S] float32: 1 - sigma, 0 = noise.

    Formed in thousandths and rounded there, as the reference does: the network's time embedding is
    so fine that the other rounding moves its output tenfold further from the reference.
    """
    return (1000 - sigmas * 1000) / 1000
