"""JSON from strangers: bounded in size and depth, without NaN, infinities or repeated names."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable

from engine.errors import FileRejected

MAX_DIGITS = 20

Container = dict[str, object] | list[object]


def parse(data: bytes, what: str, *, max_bytes: int, max_depth: int = 8) -> object:
    """Return the value of a JSON text in UTF-8.

    `what` begins the sentence of the `FileRejected` that anything else raises: "The settings file".
    """
    if len(data) > max_bytes:
        raise FileRejected(f"{what} has {len(data):,} bytes, more than {max_bytes:,}.")
    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError as error:
        raise FileRejected(f"{what} nests deeper than {max_depth} levels.") from error
    except ValueError as error:
        raise FileRejected(f"{what} is not valid JSON: {error!s:.200}.") from error
    if _deeper_than(value, max_depth):
        raise FileRejected(f"{what} nests deeper than {max_depth} levels.")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {repeated!r:.80} comes twice")
    return values


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text:.80} is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text:.80} is too long")
    return int(text)


def _deeper_than(value: object, limit: int) -> bool:
    level = _containers([value])
    for _ in range(limit):
        level = _containers(child for parent in level for child in _children(parent))
    return bool(level)


def _containers(values: Iterable[object]) -> list[Container]:
    return [value for value in values if isinstance(value, dict | list)]


def _children(parent: Container) -> Iterable[object]:
    return parent.values() if isinstance(parent, dict) else parent
