"""Painting from a picture: what is known of it, and which cells stay so."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Known:
    """A picture to begin with, and where it may change.

    clean: its latents, [1, 16, h, w] float32. levels: [1, 1, h, w] float32, 0..1: 1 = repaint,
    0 = keep, between = repaint from a later step on; None: repaint all of it.
    """

    clean: Tensor
    levels: Tensor | None = None

    def to(self, device: str) -> Known:
        """Return the same with its tensors, [1, ..., h, w], on a device."""
        levels = None if self.levels is None else self.levels.to(device)
        return Known(self.clean.to(device), levels)

    def noisy(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Return the picture under noise [B, 16, h, w] at sigma [], of the noise's shape.

        Rectified flow's straight line from picture to noise (arXiv 2209.03003).
        """
        return sigma * noise + (1 - sigma) * self.clean

    def hold(self, latents: Tensor, noise: Tensor, sigmas: Tensor, step: int) -> Tensor:
        """Return latents [B, 16, h, w] after `step`, put back to what is known where they stay.

        noise: what the picture began under, of the same shape. sigmas: [S + 1]. A cell of a level
        between joins once `1 - level` of the steps are done (arXiv 2306.00950).
        """
        if self.levels is None:
            return latents
        begun = 1 - step / (len(sigmas) - 1)
        is_free = (self.levels >= begun) & (self.levels > 0)
        return torch.where(is_free, latents, self.noisy(noise, sigmas[step + 1]))
