"""From a complete request to the plan of a job. Without torch, for the page forecasts with it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.checkpoints.checkpoint import Checkpoint
from engine.memory.ladder import Terms
from engine.memory.plan import make_plan
from engine.memory.work import Plan, Work
from engine.prompts import MOST_TOKENS, TRAINED_TOKENS
from engine.request import LongPrompt, Request
from engine.tasks.frame import Frame
from engine.tasks.resolve import Room


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


def work_of(request: Request, checkpoint: Checkpoint, frame: Frame) -> Work:
    """Return what a complete request asks of a model.

    Every prompt counts as the longest: a plan that changed from prompt to prompt would read weights
    anew for each.
    """
    vision = checkpoint.vision
    is_full = request.long_prompt is LongPrompt.FULL
    return Work(
        width=frame.size[0],
        height=frame.size[1],
        count=request.count,
        evaluations=frame.steps - frame.first,
        guided=bool(request.guidance_scale),
        prompt_tokens=MOST_TOKENS if is_full else TRAINED_TOKENS,
        saves_steps=request.step_cache > 0 and not checkpoint.variant.ignored("step_cache"),
        encodes=frame.encodes,
        prompts=frame.prompts,
        references=tuple(reading.encoded for reading in frame.readings),
        patches=0 if vision is None else vision.max_patches,
    )
