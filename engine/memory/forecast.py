"""What a job will take, told before it is begun: whether it fits, how long, and what to change.

Pure and without torch, for the page asks at every turn of a control. Words are the page's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from engine.errors import OutOfMemory
from engine.memory.budget import UNKNOWN
from engine.memory.pieces import Sizes, Tour
from engine.memory.plan import (
    Budget,
    Footprint,
    Plan,
    Source,
    Wish,
    Work,
    least_bytes,
    make_plan,
    workable_size,
)
from engine.memory.seconds import assumed
from engine.request import Precision

TIGHT: Final = 1.25
"""From this many times the time that it would take with memory enough, a job is tight."""


class Fit(StrEnum):
    """How a job and the memory go together; TIGHT: it works, but takes longer for it."""

    FITS = "fits"
    TIGHT = "tight"
    IMPOSSIBLE = "impossible"


class Note(StrEnum):
    """What is done for lack of memory.

    STREAMED: parts of the model are copied to the card as they are needed. FROM_DISK: those are
    read from the disk each time. READ_AGAIN: the text encoder is, for every new prompt. ON_HOST:
    the picture is decoded piece by piece in the computer's memory. APART: the pictures are not all
    painted together.
    """

    STREAMED = "streamed"
    FROM_DISK = "from_disk"
    READ_AGAIN = "read_again"
    ON_HOST = "on_host"
    APART = "apart"


class Remedy(StrEnum):
    """What would help."""

    SMALLER = "smaller"
    INT8 = "int8"
    CLOSE_PROGRAMS = "close_programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to change. width, height: of SMALLER, the largest size of this shape that works."""

    remedy: Remedy
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a job will take.

    needed_bytes: of the device, what the driver takes for itself included; where it is impossible,
    the least that would do. budget_bytes: what there is for it. seconds: None where the machine was
    not measured. notes: what is done for lack of memory. advice: best first.
    """

    fit: Fit
    needed_bytes: int
    budget_bytes: int
    seconds: float | None = None
    notes: tuple[Note, ...] = ()
    advice: tuple[Advice, ...] = ()


def forecast(
    work: Work, sizes: Sizes, footprint: Footprint, budget: Budget, wish: Wish | None = None
) -> Forecast:
    """Return what a job will take with a model of these sizes, which works in that footprint."""
    wish = wish or Wish()
    given = budget.device_bytes + budget.driver_bytes
    try:
        plan = make_plan(work, sizes, footprint, budget, wish)
    except OutOfMemory:
        least = least_bytes(work, sizes, footprint, budget)
        size = workable_size(work, sizes, footprint, budget)
        return Forecast(
            fit=Fit.IMPOSSIBLE,
            needed_bytes=least + budget.driver_bytes,
            budget_bytes=given,
            advice=tuple(_rescue(size, sizes.precision)),
        )
    usual = replace(budget, rates=assumed(budget.device, budget.rates))
    ample = replace(usual, device_bytes=UNKNOWN)
    now, best = (make_plan(work, sizes, footprint, b, wish).seconds for b in (usual, ample))
    is_tight = now is not None and best is not None and now > TIGHT * best
    return Forecast(
        fit=Fit.TIGHT if is_tight else Fit.FITS,
        needed_bytes=plan.peak_bytes + budget.driver_bytes,
        budget_bytes=given,
        seconds=plan.seconds,
        notes=tuple(_notes(plan, work)),
        advice=tuple(_relief(sizes.precision)) if is_tight else (),
    )


def _notes(plan: Plan, work: Work) -> Iterator[Note]:
    stays = all(plan.holds(tour) for tour in Tour if tour is not Tour.READ)
    if not stays and plan.source is Source.FILE:
        yield Note.FROM_DISK
    elif plan.sources - {Source.FILE}:
        yield Note.STREAMED
    if not plan.keep_encoder:
        yield Note.READ_AGAIN
    if plan.decode.on_host:
        yield Note.ON_HOST
    if plan.batch < work.count:
        yield Note.APART


def _rescue(size: tuple[int, int] | None, precision: str) -> Iterator[Advice]:
    """Yield what may make an impossible job possible."""
    if size is not None:
        yield Advice(remedy=Remedy.SMALLER, width=size[0], height=size[1])
    yield from _relief(precision)


def _relief(precision: str) -> Iterator[Advice]:
    """Yield what makes a model need less, or leaves it more."""
    if precision != Precision.INT8:
        yield Advice(remedy=Remedy.INT8)
    yield Advice(remedy=Remedy.CLOSE_PROGRAMS)
