"""Bounds in processor seconds that hold on a busy machine too."""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable

AT_REST = 0.025
"""Processor seconds that the work below takes on the two cores that the bounds are for."""

TEXT = b"[" + b"1e9," * 270_000 + b"1]"
TRIES = 5


def assert_quick(action: Callable[[], object], seconds: float) -> None:
    """Fail unless an action takes at most so many processor seconds.

    The best of a few tries counts, without garbage collections, whose cost is that of all that
    the tests left; where it is too long, it is divided by how slow the machine is meanwhile.
    """
    best = known = math.inf
    for _ in range(TRIES):
        best = min(best, _spent(action))
        if best <= seconds:
            return
        known = min(known, _spent(_work))
    at_rest = best / max(1.0, known / AT_REST)
    assert at_rest <= seconds, f"it takes {at_rest:.3f} s, and {seconds} s is the bound"


def _spent(action: Callable[[], object]) -> float:
    gc.disable()
    start = time.process_time()
    try:
        action()
        return time.process_time() - start
    finally:
        gc.enable()


def _work() -> None:
    """Do what the bounded actions do: some in Python, some in a library."""
    json.loads(TEXT)
    {f"t{number}": (number, number + 1) for number in range(60_000)}
