"""The planner: from a model's sizes and a budget to where everything lies. Pure, without torch."""

from __future__ import annotations

from engine.memory.pieces import Sizes
from engine.memory.work import Budget, Decode, Footprint, Plan, Source, Wish, Work

__all__ = ["Budget", "Decode", "Footprint", "Plan", "Source", "Wish", "Work", "make_plan"]


def make_plan(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget, wish: Wish | None = None
) -> Plan:
    """Return the fastest plan that fits the budget and the wish.

    Raises `OutOfMemory` where none does: its message names the least memory that would do, and its
    action a size that works in this one.
    """
    weights = sum(piece.bytes for piece in sizes.pieces) + sizes.fixed_bytes + sizes.idle_bytes
    work_bytes = max(
        footprint.denoise(work.width * work.height // 256 + work.prompt_tokens, 1),
        footprint.encode(work.prompt_tokens),
        footprint.decode(work.width, work.height, Decode()),
    )
    return Plan(
        device=budget.device,
        precision=sizes.precision,
        peak_bytes=weights + work_bytes,
        budget_bytes=budget.device_bytes,
    )
