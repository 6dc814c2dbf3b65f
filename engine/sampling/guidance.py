"""Classifier-free guidance in this model's convention: `pos + g * (pos - neg)`, 0 = off.

Other tools count one more: their scale is g + 1 (arXiv 2207.12598).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How strongly a prediction is pushed away from the negative prompt.

    scale: g >= 0. normalization: the guided prediction's norm is capped at this multiple of the
    unguided one, per picture; 0 = no cap. truncation: guidance is off once 1 - sigma exceeds it.
    """

    scale: float = 0.0
    normalization: float = 0.0
    truncation: float = 1.0

    def active(self, sigma: float) -> bool:
        """Say whether the negative prompt matters at `sigma` (1 = noise)."""
        return self.scale > 0 and 1 - sigma <= self.truncation

    def combine(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Guide predictions [B, 16, h, w] float32 away from `negative`, same shape."""
        guided = positive + self.scale * (positive - negative)
        if self.normalization <= 0:
            return guided
        limit = self.normalization * _norms(positive)
        norms = _norms(guided)
        return guided * torch.where(norms > limit, limit / norms, torch.ones_like(norms))


def _norms(predictions: Tensor) -> Tensor:
    """Return the 2-norm of each picture of [B, 16, h, w] as [B, 1, 1, 1]."""
    norms: Tensor = torch.linalg.vector_norm(predictions, dim=(1, 2, 3), keepdim=True)
    return norms
