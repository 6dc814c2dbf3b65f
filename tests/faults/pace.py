"""Processor seconds as they would be on a machine at rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

WORK = b"[" + b"1e9," * 270_000 + b"1]"
AT_REST = 0.0175
"""Processor seconds that reading the work takes on the two cores that the bounds are for."""


def seconds_at_rest(action: Callable[[], object], tries: int = 5) -> float:
    """Return what an action takes at best, over how slow the machine is at best meanwhile."""
    pairs = [(_spent(action), _spent(_work)) for _ in range(tries)]
    seconds, work = map(min, zip(*pairs, strict=True))
    return seconds / max(1.0, work / AT_REST)


def is_quick(action: Callable[[], object], seconds: float) -> bool:
    """Say whether an action takes at most so many; one of three tries may not be the action's."""
    return any(_spent(action) <= seconds for _ in range(3))


def _spent(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _work() -> None:
    json.loads(WORK)
