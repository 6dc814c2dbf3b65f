"""The denoising loop: noise becomes a picture in latent space.

`denoise` owns the conventions of docs/notation.md: model time is 1 - sigma, the network returns
the negated velocity, guidance happens in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.model.omni import Scene
from engine.model.transformer import Context, Modulation, Transformer
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import Sampler, Velocity
from engine.sampling.schedules import model_times
from engine.sampling.step_cache import StepCache

Condition = Tensor | Scene
"""Refined caption tokens [P, D]; for a model that reads pictures, a scene, with or without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a batch is painted after, one condition a picture, all of one kind.

    `negative` is empty where guidance is off.
    """

    positive: Sequence[Condition]
    negative: Sequence[Condition] = ()


OnStep = Callable[[int, Tensor], None]
"""Called after each step with its index and the predicted clean latents [B, 16, h, w]; may raise
to cancel."""

Keep = Callable[[Tensor, int], Tensor]
"""Given the latents [B, 16, h, w] after a step, and its index, returns those to go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What few batches need.

    targets: model times [S] at which each step is to point, of a network that wants them.
    step_cache: fresh, where steps may be saved. on_skip: told after the first main block that the
    others are not computed in this step.
    """

    targets: Tensor | None = None
    step_cache: StepCache | None = None
    on_skip: Callable[[], None] = lambda: None


PLAIN: Final = Extras()


class Denoiser:
    """A transformer, prepared for one batch and one schedule; calling it gives the velocity.

    evaluations: how often the network was computed for each picture so far, in full: twice in a
    step with guidance.
    """

    def __init__(
        self,
        transformer: Transformer,
        conditions: Conditions,
        guidance: Guidance,
        sigmas: Tensor,
        size: tuple[int, int],
        extras: Extras = PLAIN,
    ) -> None:
        self.evaluations = 0
        self._transformer = transformer
        self._guidance = guidance
        self._extras = extras
        self._sigmas = [float(sigma) for sigma in sigmas[:-1]]
        times = model_times(sigmas[:-1])
        reads = any(isinstance(each, Scene) for each in conditions.positive)
        self._modulation: Modulation = transformer.modulate(times, extras.targets, clean=reads)
        self._alone = _arranged(transformer, conditions.positive, size)
        self._guided: Context | None = None
        if any(guidance.active(sigma) for sigma in self._sigmas):
            both = (*conditions.positive, *conditions.negative)
            self._guided = _arranged(transformer, both, size)

    @property
    def skipped(self) -> tuple[int, ...]:
        """The steps, from 0, that reused most of an earlier one."""
        cache = self._extras.step_cache
        return () if cache is None else cache.skipped

    def __call__(self, latents: Tensor, step: int) -> Tensor:
        """Return the velocity of latents [B, 16, h, w] float32 at the sigma of `step`, float32."""
        x = latents.to(self._transformer.x_embedder.weight.dtype)
        if self._guided is None or not self._guidance.active(self._sigmas[step]):
            return -self._predict(x, self._alone, step, branches=1)
        both = self._predict(torch.cat([x, x]), self._guided, step, branches=2)
        return -self._guidance.combine(*both.chunk(2))

    def _predict(self, x: Tensor, context: Context, step: int, *, branches: int) -> Tensor:
        """Return the network's answer to x [B, 16, h, w] at `step`, float32 of the same shape."""
        modulation, cache = self._modulation.at(step), self._extras.step_cache
        if cache is None:
            self.evaluations += branches
            whole: Tensor = self._transformer(x, modulation, context)
            return whole.float()
        before, tokens = self._transformer.begin(x, modulation, context)
        change = tokens - before
        del before
        rest = cache.reuse(change, step)
        if rest is None:
            self.evaluations += branches
            computed = self._transformer.rest(tokens, modulation, context)
            rest = computed - tokens
            cache.keep(change, rest)
            tokens = computed
        else:
            self._extras.on_skip()
            tokens = tokens + rest
        size = (x.shape[-2], x.shape[-1])
        return self._transformer.end(tokens, modulation, context, size).float()


def _arranged(
    transformer: Transformer, conditions: Sequence[Condition], size: tuple[int, int]
) -> Context:
    """Place latents of `size`, height and width, before each condition."""
    scenes = [each for each in conditions if isinstance(each, Scene)]
    if scenes:
        return transformer.arrange_scenes(scenes, *size)
    return transformer.arrange([each for each in conditions if isinstance(each, Tensor)], *size)


def free(latents: Tensor, step: int) -> Tensor:
    """Return latents [B, 16, h, w] as they are: all of the picture may change."""
    return latents


@torch.inference_mode()
def denoise(
    velocity: Velocity,
    latents: Tensor,
    sigmas: Tensor,
    sampler: Sampler,
    on_step: OnStep,
    keep: Keep = free,
) -> Tensor:
    """Turn noisy latents [B, 16, h, w] float32 into clean ones along sigmas [S + 1]."""

    def after_step(latents: Tensor, clean: Tensor, step: int) -> Tensor:
        on_step(step, clean)
        return keep(latents, step)

    return sampler(velocity, latents, sigmas, after_step)
