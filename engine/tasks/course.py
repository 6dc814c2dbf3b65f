"""How a model goes from noise to picture: its schedule, and the sampler that follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from engine.request import Request
from engine.sampling import twinflow
from engine.sampling.samplers import SAMPLERS, Sampler
from engine.sampling.schedules import schedule
from engine.variants import Solver, Variant


@dataclass(frozen=True, slots=True)
class Course:
    """Sigmas [S + 1], target times [S] of a network that wants them, and the sampler.

    sampler: takes what gives the noise that is mixed in after a step, by the step's index.
    """

    sigmas: Tensor
    targets: Tensor | None
    sampler: Callable[[twinflow.Noise], Sampler]


def choose_course(request: Request, variant: Variant) -> Course:
    """Return the way that a complete request goes with a model."""
    steps = request.steps or 1
    if variant.solver is Solver.TWINFLOW:
        sigmas = twinflow.schedule(steps)
        return Course(sigmas, twinflow.target_times(sigmas), twinflow.sampler)
    sigmas = schedule(steps, request.shift or 1.0)
    return Course(sigmas, None, lambda noise: SAMPLERS[request.sampler])
