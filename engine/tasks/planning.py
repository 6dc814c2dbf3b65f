"""From a complete request to the plan of a job. Without torch, for the page forecasts with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.memory.ladder import Terms
from engine.memory.plan import make_plan
from engine.memory.work import Plan, Work
from engine.request import Request
from engine.tasks.resolve import Room
from engine.variants import Variant

PROMPT_TOKENS: Final = 512
"""Every prompt counts as the longest: a plan that changed from prompt to prompt would read weights
anew for each."""


@dataclass(frozen=True, slots=True)
class Planning:
    """Makes the plans of one job, which all have its work and its room in common."""

    room: Room

    def __call__(self, terms: Terms, kept: Plan | None = None) -> Plan:
        """Return the plan; kept: that of the model as it lies there from the job before.

        Raises `OutOfMemory` where there is none.
        """
        room = self.room
        described = room.described(terms.precision)
        return make_plan(room.work, *described, room.budget, terms.wish, kept)


def work_of(request: Request, variant: Variant) -> Work:
    """Return what a complete request asks of a model of a variant."""
    return Work(
        width=request.width or 0,
        height=request.height or 0,
        count=request.count,
        evaluations=request.steps or 1,
        guided=bool(request.guidance_scale),
        prompt_tokens=PROMPT_TOKENS,
        saves_steps=request.step_cache > 0 and not variant.ignored("step_cache"),
    )
