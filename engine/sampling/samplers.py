"""Samplers of the flow ODE dx/dsigma = v: functions of maths, each one screen at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from torch import Tensor


class Velocity(Protocol):
    """The model as samplers see it."""

    def __call__(self, latents: Tensor, step: int) -> Tensor:
        """Return the velocity of latents [B, 16, h, w] at the sigma of `step`."""
        ...


class AfterStep(Protocol):
    """What happens between steps."""

    def __call__(self, latents: Tensor, clean: Tensor, step: int) -> Tensor:
        """Take the new latents and the predicted clean ones; return the latents to go on with."""
        ...


Sampler = Callable[[Velocity, Tensor, Tensor, AfterStep], Tensor]


def euler(velocity: Velocity, latents: Tensor, sigmas: Tensor, after_step: AfterStep) -> Tensor:
    """Follow the flow from `sigmas[0]` to `sigmas[-1]` in straight lines, one evaluation each.

    Latents [B, 16, h, w] float32, sigmas [S + 1] falling (Euler's method; flow matching,
    arXiv 2210.02747).
    """
    for step in range(len(sigmas) - 1):
        sigma, following = sigmas[step], sigmas[step + 1]
        direction = velocity(latents, step)
        clean = latents - sigma * direction
        latents = after_step(latents + (following - sigma) * direction, clean, step)
    return latents


SAMPLERS: Mapping[str, Sampler] = MappingProxyType({"euler": euler})
"""Samplers by the name a request carries."""
