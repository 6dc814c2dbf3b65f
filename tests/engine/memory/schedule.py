"""A tour on a clock: one engine copies, one computes, and a ring of slots lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Visit(NamedTuple):
    """One piece: seconds to compute with it, and to copy it, 0 where it is resident."""

    compute: float
    copy: float


def round_seconds(tour: Sequence[Visit], slots: int, rounds: int = 24) -> float:
    """Seconds of one round of a tour in the long run, copies going on from round to round."""
    ends: list[float] = []
    left: list[float] = []
    copied = computed = 0.0
    for _ in range(rounds):
        for visit in tour:
            begin = computed
            if visit.copy:
                # A slot is free again once the piece before last, or the one before that, has left.
                free = left[-slots] if len(left) >= slots else 0.0
                copied = max(copied, free) + visit.copy
                begin = max(begin, copied)
            computed = begin + visit.compute
            if visit.copy:
                left.append(computed)
        ends.append(computed)
    half = rounds // 2
    return (ends[-1] - ends[half - 1]) / (rounds - half)


def bound(tour: Sequence[Visit]) -> float:
    """The least seconds that a round can take."""
    return max(sum(visit.compute for visit in tour), sum(visit.copy for visit in tour))
