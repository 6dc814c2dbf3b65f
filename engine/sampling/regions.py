"""Several prompts in one picture: each cell follows the velocity of its own."""

from __future__ import annotations

from torch import Tensor

from engine.sampling.samplers import Velocity


class Regional:
    """The velocities of K prompts, mixed cell by cell (MultiDiffusion, arXiv 2302.08113).

    velocity: computes K times as many pictures, all of the first prompt first. weights: of each
    prompt in each cell, [K, 1, h, w], of sum 1.
    """

    def __init__(self, velocity: Velocity, weights: Tensor) -> None:
        self._velocity = velocity
        self._weights = weights

    def __call__(self, latents: Tensor, step: int) -> Tensor:
        """Return the mixed velocity of latents [B, 16, h, w], of the same shape."""
        prompts = len(self._weights)
        found = self._velocity(latents.repeat(prompts, 1, 1, 1), step)
        mixed: Tensor = (found.unflatten(0, (prompts, -1)) * self._weights[:, None]).sum(0)
        return mixed
