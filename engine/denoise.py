"""The denoising loop: noise becomes a picture in latent space.

`denoise` owns the conventions of docs/notation.md: model time is 1 - sigma, the network returns
the negated velocity, guidance happens in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.transformer import Context, Modulation, Transformer
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import Sampler
from engine.sampling.schedules import model_times


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a batch is painted after: refined caption tokens, one [P_i, D] tensor a picture.

    `negative` is empty where guidance is off.
    """

    positive: Sequence[Tensor]
    negative: Sequence[Tensor] = ()


OnStep = Callable[[int, Tensor], None]
"""Called after each step with its index and the predicted clean latents [B, 16, h, w]; may raise
to cancel."""


class Denoiser:
    """A transformer, prepared for one batch and one schedule; calling it gives the velocity."""

    def __init__(
        self,
        transformer: Transformer,
        conditions: Conditions,
        guidance: Guidance,
        sigmas: Tensor,
        size: tuple[int, int],
        targets: Tensor | None = None,
    ) -> None:
        self._transformer = transformer
        self._guidance = guidance
        self._sigmas = [float(sigma) for sigma in sigmas[:-1]]
        self._modulation: Modulation = transformer.modulate(model_times(sigmas[:-1]), targets)
        self._alone = transformer.arrange(conditions.positive, *size)
        self._guided: Context | None = None
        if any(guidance.active(sigma) for sigma in self._sigmas):
            both = (*conditions.positive, *conditions.negative)
            self._guided = transformer.arrange(both, *size)

    def __call__(self, latents: Tensor, step: int) -> Tensor:
        """Return the velocity of latents [B, 16, h, w] float32 at the sigma of `step`, float32."""
        modulation = self._modulation.at(step)
        x = latents.to(self._transformer.x_embedder.weight.dtype)
        if self._guided is None or not self._guidance.active(self._sigmas[step]):
            alone: Tensor = self._transformer(x, modulation, self._alone)
            return -alone.float()
        both = self._transformer(torch.cat([x, x]), modulation, self._guided).float()
        return -self._guidance.combine(*both.chunk(2))


@torch.inference_mode()
def denoise(
    denoiser: Denoiser, latents: Tensor, sigmas: Tensor, sampler: Sampler, on_step: OnStep
) -> Tensor:
    """Turn noise [B, 16, h, w] float32 into clean latents along sigmas [S + 1]."""

    def after_step(latents: Tensor, clean: Tensor, step: int) -> Tensor:
        on_step(step, clean)
        return latents

    return sampler(denoiser, latents, sigmas, after_step)
