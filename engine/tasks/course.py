"""How a model goes from noise to picture: its schedule, and the sampler that follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.denoise import Extras
from engine.request import Request
from engine.sampling import twinflow
from engine.sampling.samplers import SAMPLERS, Sampler
from engine.sampling.schedules import schedule
from engine.sampling.step_cache import StepCache
from engine.variants import Solver, Variant


@dataclass(frozen=True, slots=True)
class Course:
    """Sigmas [S + 1], target times [S] of a network that wants them, and the sampler.

    sampler: takes what gives the noise that is mixed in after a step, by the step's index.
    threshold: below it a step is near enough to reuse an earlier one; 0 = none does.
    """

    sigmas: Tensor
    targets: Tensor | None
    sampler: Callable[[twinflow.Noise], Sampler]
    threshold: float = 0.0

    def extras(self, on_skip: Callable[[], None] = lambda: None) -> Extras:
        """Return what a denoiser needs for one batch; `on_skip` as `Extras` has it."""
        cache = StepCache(self.threshold, len(self.sigmas) - 1) if self.threshold else None
        return Extras(targets=self.targets, step_cache=cache, on_skip=on_skip)


def choose_course(request: Request, variant: Variant, first: int = 0) -> Course:
    """Return the way that a complete request goes with a model, from its step `first` on."""
    steps = request.steps or 1
    if variant.solver is Solver.TWINFLOW:
        sigmas = twinflow.schedule(steps)
        targets = twinflow.target_times(sigmas)
        return Course(sigmas[first:], targets[first:], twinflow.sampler)
    sigmas = schedule(steps, request.shift or 1.0)[first:]
    threshold = 0.0 if variant.ignored("step_cache") else request.step_cache
    return Course(sigmas, None, lambda noise: SAMPLERS[request.sampler], threshold)


def reused(skipped: Sequence[int], steps: int) -> str:
    """Say for the recipe which of `steps` steps, from 0, were not computed in full; "" if all."""
    if not skipped:
        return ""
    named = ", ".join(str(step + 1) for step in skipped)
    return f"steps {named} of {steps} reuse most of an earlier one"
