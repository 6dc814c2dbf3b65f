"""The planner: from a model's sizes and a budget to where everything lies. Pure, without torch.

Every choice that fits is timed, and the fastest is taken; where nothing was measured, by the rates
of usual machines. Residents are a tour's pieces in turn, the tour visited most often first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from engine.errors import OutOfMemory
from engine.memory.backing import back
from engine.memory.choices import Case
from engine.memory.pieces import Sizes, Tour
from engine.memory.residency import streamed_names
from engine.memory.seconds import Clock
from engine.memory.work import GIB, Budget, Decode, Footprint, Plan, Source, Wish, Work
from engine.model.config import SIZE_MULTIPLE
from engine.request import Precision

__all__ = [
    "Budget", "Decode", "Footprint", "Plan", "Source", "Wish", "Work", "least_bytes", "make_plan",
    "workable_size",
]  # fmt: skip

_LEAST_SIDE: Final = 64


def make_plan(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget, wish: Wish | None = None
) -> Plan:
    """Return the fastest plan that fits the budget and the wish.

    Raises `OutOfMemory` where none does: its message names the least memory that would do, and its
    action a size that works in this one.
    """
    case = Case(work, sizes, footprint, budget, wish or Wish())
    clock = Clock(work, sizes, budget)
    backed = [
        (choice, back(choice.level, choice.slots, sizes, budget, case.traits))
        for choice in case.choices()
    ]
    if not backed:
        raise _impossible(case, footprint)
    choice, backing = min(backed, key=lambda one: clock.seconds(*one))
    return Plan(
        device=budget.device,
        precision=sizes.precision,
        streamed=streamed_names(sizes, choice.level),
        slots=choice.slots,
        slot_bytes=choice.level.slot_bytes,
        source=backing.source,
        encoder_source=backing.encoder_source,
        keep_encoder=backing.encoder_source is not Source.FILE,
        batch=choice.batch,
        decode=choice.decode,
        peak_bytes=choice.peak_bytes,
        budget_bytes=budget.device_bytes,
        pinned_bytes=backing.pinned_bytes,
        host_bytes=backing.host_bytes,
        seconds=clock.seconds(choice, backing) if clock.is_measured(choice, backing) else None,
        resident=tuple(
            (tour.value, choice.level.kept[tour], len(sizes.tour(tour))) for tour in Tour
        ),
    )


def least_bytes(work: Work, sizes: Sizes, footprint: Footprint, budget: Budget) -> int:
    """Return the smallest `device_bytes` that the work can be done with, whatever the budget's."""
    return Case(work, sizes, footprint, budget, Wish()).least()


def workable_size(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget
) -> tuple[int, int] | None:
    """Return the largest width and height, of about this shape, that one picture can have."""
    longest = max(work.width, work.height)
    for side in range(longest - SIZE_MULTIPLE, _LEAST_SIDE - 1, -SIZE_MULTIPLE):
        smaller = replace(
            work,
            width=_scaled(work.width, side, longest),
            height=_scaled(work.height, side, longest),
        )
        if least_bytes(smaller, sizes, footprint, budget) <= budget.device_bytes:
            return smaller.width, smaller.height
    return None


def _scaled(side: int, longest: int, before: int) -> int:
    cells = round(side * longest / before / SIZE_MULTIPLE)
    return max(_LEAST_SIDE, cells * SIZE_MULTIPLE)


def _impossible(case: Case, footprint: Footprint) -> OutOfMemory:
    work, sizes, budget = case.work, case.sizes, case.budget
    needed = _tenths(case.least() + budget.driver_bytes, math.ceil)
    given = _tenths(budget.device_bytes + budget.driver_bytes, math.floor)
    size = workable_size(work, sizes, footprint, budget)
    ways = [] if size is None else [f"the size {size[0]} x {size[1]}"]
    if sizes.precision != Precision.INT8:
        ways.append("the precision int8")
    choose = f"Choose {' or '.join(ways)}, or close" if ways else "Close"
    return OutOfMemory(
        f"{work.width} x {work.height} in {sizes.precision} needs at least {needed} GB of memory "
        f"on {budget.device}; {given} GB may be used.",
        f"{choose} other programs.",
    )


def _tenths(count: int, rounded: Callable[[float], int]) -> str:
    """Write bytes in GB with one decimal, `rounded` to it."""
    return f"{rounded(10 * count / GIB) / 10:.1f}"
