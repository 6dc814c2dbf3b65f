"""TwinFlow: two to eight steps with a network that knows where each step is to lead.

The network is told two times: where it stands and where it is to point (arXiv 2512.05150). Each
step predicts the clean picture and mixes it with fresh noise, so that an error is forgotten and
not carried on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from engine.sampling.samplers import AfterStep, Sampler, Velocity

FEW, SOME = 2, 4
"""Up to FEW steps each points at the picture, up to SOME at the next step, else at itself."""

START: Final = 0.001
ENDS: Final = {FEW: 0.4, SOME: 0.5}
"""Where on the way from noise (0) to picture (1) the first and the last step stand."""

Noise = Callable[[int], Tensor]
"""Gives the noise [B, 16, h, w] float32 that is mixed in after a step, by the step's index."""


def schedule(steps: int) -> Tensor:
    """Return the sigmas at which TwinFlow was trained to stand, [steps + 1] float32, last 0."""
    if steps > SOME:
        ways = torch.linspace(START, 1.0, steps + 1)[:-1]
    else:
        ways = torch.linspace(START, ENDS[FEW if steps <= FEW else SOME], steps)
    return torch.cat([1 - ways, torch.zeros(1)])


def target_times(sigmas: Tensor) -> Tensor:
    """Return the model times at which each step is to point, [S] float32, for sigmas [S + 1].

    A step that leads to the picture, sigma 0, is told 0: so the network was trained.
    """
    steps = len(sigmas) - 1
    targets = sigmas[1:] if steps <= SOME else sigmas[:-1]
    goes_on = (targets > 0) & (steps > FEW)
    return torch.where(goes_on, 1 - targets, torch.zeros_like(targets))


def sampler(noise: Noise) -> Sampler:
    """Return TwinFlow's sampler; it draws nothing itself, so a seed gives one picture."""

    def sample(
        velocity: Velocity, latents: Tensor, sigmas: Tensor, after_step: AfterStep
    ) -> Tensor:
        for step in range(len(sigmas) - 1):
            sigma, following = sigmas[step], sigmas[step + 1]
            clean = latents - sigma * velocity(latents, step)
            mixed = clean
            if following > 0:
                mixed = (1 - following) * clean + following * noise(step).to(clean.device)
            latents = after_step(mixed, clean, step)
        return latents

    return sample
