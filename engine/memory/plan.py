"""The planner: from a model's sizes and a budget to where everything lies. Pure, without torch.

Every choice that fits is timed, and the fastest is taken; where nothing was measured, by the rates
of usual machines. Residents are a tour's pieces in turn, the tour visited most often first.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from engine.errors import OutOfMemory
from engine.memory.backing import Backing, back, backing_of
from engine.memory.choices import Case, Choice
from engine.memory.pieces import Sizes, Tour
from engine.memory.residency import streamed_names
from engine.memory.seconds import Clock
from engine.memory.work import GIB, Budget, Decode, Footprint, Plan, Source, Wish, Work
from engine.model.config import SIZE_MULTIPLE
from engine.request import MIN_SIDE, Precision

__all__ = [
    "Budget", "Decode", "Footprint", "Plan", "Source", "Wish", "Work", "can_keep", "least_bytes",
    "make_plan", "workable_size",
]  # fmt: skip

EVEN: Final = 1.01
"""Times that differ by no more than this are the same to a user, and to a prediction."""


def make_plan(
    work: Work,
    sizes: Sizes,
    footprint: Footprint,
    budget: Budget,
    wish: Wish | None = None,
    kept: Plan | None = None,
) -> Plan:
    """Return the fastest plan that fits the budget and the wish.

    kept: the plan of the same model as it lies there from the job before: unless loading it anew
    pays, its residents stay; a wish that gives something up never takes more than it did. Raises
    `OutOfMemory` where no plan fits: its message names the least memory that would do, and its
    action a size that works in this one.
    """
    wish = wish or Wish()
    if kept is not None and wish.gives_up:
        least = min(budget.device_bytes, kept.peak_bytes)
        budget = replace(budget, device_bytes=least)
    case = Case(work, sizes, footprint, budget, wish)
    clock = Clock(work, sizes, budget)
    options = [
        (choice, back(choice.level, choice.slots, sizes, budget, case.traits))
        for choice in case.choices()
    ]
    if not options:
        raise _impossible(case)
    best = _best(clock, options)
    if kept is not None and (kept.device, kept.precision) == (budget.device, sizes.precision):
        again = [(choice, backing_of(kept)) for choice in case.again(kept)]
        same = _best(clock, again) if again else best
        saved = clock.seconds(*same) - clock.seconds(*best)
        best = same if saved <= clock.loading(sizes) else best
    return _plan(case, clock, *best)


Option = tuple[Choice, Backing]


def _best(clock: Clock, options: Sequence[Option]) -> Option:
    """Return the fastest option; of those as good as that, the one that moves least."""
    times = [clock.seconds(*option) for option in options]
    fast = [
        option for option, time in zip(options, times, strict=True) if time <= EVEN * min(times)
    ]
    return min(fast, key=lambda option: clock.moved(option[0]))


def _plan(case: Case, clock: Clock, choice: Choice, backing: Backing) -> Plan:
    sizes, level = case.sizes, choice.level
    is_measured = clock.is_measured(choice, backing)
    return Plan(
        device=case.budget.device,
        precision=sizes.precision,
        streamed=streamed_names(sizes, level),
        slots=choice.slots,
        slot_bytes=level.slot_bytes,
        source=backing.source,
        encoder_source=backing.encoder_source,
        keep_encoder=backing.encoder_source is not Source.FILE or not level.copied[Tour.READ],
        batch=choice.way.batch,
        decode=choice.way.decode,
        peak_bytes=choice.peak_bytes,
        budget_bytes=case.budget.device_bytes,
        pinned_bytes=backing.pinned_bytes,
        host_bytes=backing.host_bytes,
        seconds=clock.seconds(choice, backing) if is_measured else None,
        resident=tuple((tour.value, level.kept[tour], len(sizes.tour(tour))) for tour in Tour),
    )


def can_keep(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget, tours: Collection[Tour]
) -> bool:
    """Say whether all pieces of some tours can stay on the device."""
    choices = Case(work, sizes, footprint, budget, Wish()).choices()
    return any(all(choice.level.copied[tour] == 0 for tour in tours) for choice in choices)


def least_bytes(work: Work, sizes: Sizes, footprint: Footprint, budget: Budget) -> int:
    """Return the smallest `device_bytes` that the work can be done with, whatever the budget's."""
    return Case(work, sizes, footprint, budget, Wish()).least()


def workable_size(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget
) -> tuple[int, int] | None:
    """Return the largest width and height, of about this shape, that one picture can have."""
    return _workable(Case(work, sizes, footprint, budget, Wish()))


def _workable(case: Case) -> tuple[int, int] | None:
    work, longest = case.work, max(case.work.width, case.work.height)

    def smaller(side: int) -> Work:
        width, height = (_scaled(one, side, longest) for one in (work.width, work.height))
        return replace(work, width=width, height=height)

    def least(side: int) -> int:
        return case.at(smaller(side)).least()

    sides = range(MIN_SIDE, longest, SIZE_MULTIPLE)
    workable = bisect_right(sides, case.budget.device_bytes, key=least)
    if workable == 0:
        return None
    found = smaller(sides[workable - 1])
    return found.width, found.height


def _scaled(side: int, longest: int, before: int) -> int:
    cells = round(side * longest / before / SIZE_MULTIPLE)
    return max(MIN_SIDE, cells * SIZE_MULTIPLE)


def _impossible(case: Case) -> OutOfMemory:
    work, sizes, budget = case.work, case.sizes, case.budget
    needed = _tenths(case.least() + budget.driver_bytes, math.ceil)
    given = _tenths(budget.device_bytes + budget.driver_bytes, math.floor)
    size = _workable(case)
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
