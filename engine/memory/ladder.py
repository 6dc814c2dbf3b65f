"""What a job gives up, rung by rung, when memory runs out. Pure, without torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from engine.errors import OutOfMemory
from engine.events import Stage
from engine.memory.work import Plan, Wish
from engine.request import Precision

RETRIES: Final = 3
"""Attempts after the first that a job gets."""


class Rung(StrEnum):
    """One thing to give up. Only INT8 changes a picture by more than rounding."""

    TILE = "tile"
    STREAM = "stream"
    STREAM_ENCODER = "stream_encoder"
    SMALLER_BATCH = "smaller_batch"
    INT8 = "int8"


SAID: Final[Mapping[Rung, str]] = MappingProxyType(
    {
        Rung.TILE: "the picture passes the autoencoder in narrow strips, which takes longer",
        Rung.STREAM: "no part of the model stays on the device, which takes longer",
        Rung.STREAM_ENCODER: "the text encoder is read from the computer's memory bit by bit",
        Rung.SMALLER_BATCH: "fewer pictures are painted at once",
        Rung.INT8: "the model computes in int8, which changes the picture a little",
    }
)
"""What is told to the user and written in the recipe."""

_ON_HOST: Final = frozenset({"cpu", "mps"})
"""Devices whose memory is the computer's; on others the ladder's rungs take more of that."""

_HELPS: Final[Mapping[Stage, tuple[Rung, ...]]] = MappingProxyType(
    {
        Stage.LOADING: (Rung.STREAM, Rung.STREAM_ENCODER, Rung.INT8),
        Stage.ENCODING: (Rung.STREAM, Rung.STREAM_ENCODER, Rung.INT8),
        Stage.PREPARING: (Rung.TILE, Rung.STREAM, Rung.STREAM_ENCODER, Rung.INT8),
        Stage.DENOISING: (Rung.STREAM, Rung.STREAM_ENCODER, Rung.SMALLER_BATCH, Rung.INT8),
        # The latents are finished by then: a model in int8 would not paint them again.
        Stage.DECODING: (Rung.TILE, Rung.STREAM, Rung.STREAM_ENCODER),
        # Only the computer's memory is used there, and the model is not.
        Stage.SAVING: (),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Where memory ran out: in which stage, and whether the computer's rather than the card's."""

    stage: Stage
    of_host: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a plan is made for, of what the ladder may change.

    may_round: whether the precision may become int8; one that the user chose is kept.
    """

    wish: Wish
    precision: Precision
    may_round: bool = True


Replan = Callable[[Terms], Plan]
"""Makes the plan of a job on other terms; raises `OutOfMemory` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concession:
    """What a job goes on with after it gave something up.

    keeps_model: whether the model that is loaded fits the plan, so that none need be read again.
    """

    rung: Rung
    terms: Terms
    plan: Plan

    @property
    def keeps_model(self) -> bool:
        """Say whether every weight lies where it lay before."""
        return self.rung in {Rung.TILE, Rung.SMALLER_BATCH}


def next_rung(
    shortage: Shortage, plan: Plan, terms: Terms, tried: Collection[Rung], replan: Replan
) -> Concession | None:
    """Return what to give up after memory ran out; None where nothing is left.

    Each rung is tried once, and never one that does not help in that stage or leaves the plan as it
    is: one more attempt with the same plan would end the same way.
    """
    if len(tried) >= RETRIES:
        return None
    for rung in _HELPS[shortage.stage]:
        helps = rung is Rung.INT8 or not shortage.of_host or plan.device in _ON_HOST
        if rung in tried or not helps:
            continue
        conceded = _conceded(rung, plan, terms)
        planned = _planned(rung, plan, conceded, replan)
        if planned is not None and _placement(planned) != _placement(plan):
            return Concession(rung=rung, terms=conceded, plan=planned)
    return None


def _conceded(rung: Rung, plan: Plan, terms: Terms) -> Terms:
    """Return the terms after one more concession; what was given up before stays given up.

    From the second rung on nothing stays on the device: a planner that fills the memory which a
    smaller batch or int8 leaves would run out of it again.
    """
    wish = terms.wish
    match rung:
        case Rung.TILE:
            return replace(terms, wish=replace(wish, tile=True))
        case Rung.STREAM:
            return replace(terms, wish=replace(wish, no_residents=True))
        case Rung.STREAM_ENCODER:
            return replace(terms, wish=replace(wish, stream_encoder=True))
        case Rung.SMALLER_BATCH:
            return replace(terms, wish=replace(wish, batch=max(1, plan.batch // 2)))
        case Rung.INT8:
            precision = Precision.INT8 if terms.may_round else terms.precision
            return replace(terms, wish=replace(wish, no_residents=True), precision=precision)


def _planned(rung: Rung, plan: Plan, terms: Terms, replan: Replan) -> Plan | None:
    """Return the plan after a rung, None where there is none.

    The first and the fourth leave every weight where it is, whatever a new plan would make of the
    memory that they free.
    """
    if rung is Rung.SMALLER_BATCH:
        return replace(plan, batch=terms.wish.batch or 1)
    try:
        planned = replan(terms)
    except OutOfMemory:
        return None
    return replace(plan, decode=planned.decode) if rung is Rung.TILE else planned


def _placement(plan: Plan) -> Plan:
    """Return the plan without its predictions: what decides where bytes lie."""
    return replace(plan, peak_bytes=0, budget_bytes=0, seconds=None)
