"""Saving steps, as data: which may be saved, and what it cost where it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_STEPS: Final = 3
"""Steps at the start that are always computed: there the picture finds its shape."""

LAST_STEPS: Final = 2
"""Steps at the end that are always computed: there it gets its details."""

ALWAYS_COMPUTED: Final = FIRST_STEPS + LAST_STEPS

MOST_IN_A_ROW: Final = 2
"""Steps in a row that may reuse one that was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a choice saved and cost: 100 unseen prompts of Demo Base at its defaults, same seeds.

    value: what the request says. saved: share of the model's evaluations, 0..1. loss: points of
    adherence, out of 100; below 0 where a few pictures more followed their prompts. difference: of
    a pixel from the full picture's, mean, out of 255.
    """

    value: float
    saved: float
    loss: float
    difference: float


STEP_CACHE_CHOICES: Final = (
    Saving(value=0.05, saved=0.20, loss=-0.2, difference=0.2),
    Saving(value=0.1, saved=0.45, loss=-0.2, difference=0.7),
    Saving(value=0.15, saved=0.50, loss=-0.7, difference=1.1),
)
"""Thresholds of `step_cache`, the most careful first."""

TRUNCATION_CHOICES: Final = (
    Saving(value=0.6, saved=0.07, loss=-0.5, difference=1.3),
    Saving(value=0.4, saved=0.15, loss=-0.5, difference=2.0),
    Saving(value=0.2, saved=0.28, loss=-0.5, difference=3.6),
)
"""Ends of guidance, as `cfg_truncation`, the most careful first."""
