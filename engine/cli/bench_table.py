"""What follows from the figures of a benchmark, and the table that shows them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GB = 1e9
GIB = 2**30
COLUMNS = ("s/picture", "s/step", "reserved", "card", "moved", "exposed", "host", "cold", "rel. L2")
UNITS = ("", "", "GiB", "GiB", "GB", "s", "GiB", "s", "")
WIDTH, CELL = 34, 10
LEGEND = (
    "s/picture, s/step   median seconds",
    "reserved, card      most memory that PyTorch reserved, and that the whole card had in use",
    "moved               bytes copied from the computer to the card for one picture",
    "exposed             seconds a picture that the limit costs: copies that nothing hid",
    "host                most memory of the computer    cold  seconds to the first picture",
    "rel. L2             how far the latents are off the reference's, as a part of them",
)

Arm = Mapping[str, Any]


def table(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield the lines: a table for each case, then how each arm's time grows with the side."""
    names = dict.fromkeys(name for arm in arms for name in arm["cases"])
    for name in names:
        yield ""
        yield f"{name:<{WIDTH}}" + "".join(f"{column:>{CELL}}" for column in COLUMNS)
        yield " " * WIDTH + "".join(f"{unit:>{CELL}}" for unit in UNITS)
        yield from (_row(arm, name, arms) for arm in arms if name in arm["cases"])
    yield ""
    for arm in arms:
        for told, exponent in growth(arm).items():
            yield f"{arm['name']:<{WIDTH}}time grows with side ** {exponent:.2f}, {told}"
    yield ""
    yield from LEGEND
    for arm in arms:
        if arm["missing"]:
            yield f"{arm['name']:<{WIDTH}}not measured: {arm['missing']}"


def exposed(arm: Arm, case: str, arms: Sequence[Arm]) -> float | None:
    """Return the seconds that a limit costs: those of the same arm on the whole card taken off."""
    if arm["limit_gb"] is None:
        return None
    whole = "ours" if arm["name"].startswith("ours") else "diffusers"
    precision = arm["name"].split()[1] if whole == "ours" else "bf16"
    for other in arms:
        if other["name"] == f"{whole} {precision}" and case in other["cases"]:
            return float(arm["cases"][case]["seconds"] - other["cases"][case]["seconds"])
    return None


def growth(arm: Arm) -> dict[str, float]:
    """Return by which power of the side the time of an arm grows, from each side to the next."""
    found = {}
    painted = [case for case in arm["cases"].values() if case["count"] == 1]
    for small in painted:
        for large in painted:
            same = (small["steps"], small["guidance"]) == (large["steps"], large["guidance"])
            if same and large["side"] == 2 * small["side"]:
                power = math.log2(large["seconds"] / small["seconds"])
                found[f"{small['side']} to {large['side']}, {small['steps']} steps"] = power
    return found


def _row(arm: Arm, name: str, arms: Sequence[Arm]) -> str:
    """Return an arm's line of a case; what was measured once stands with its first case."""
    case = arm["cases"][name]
    once = arm if name == next(iter(arm["cases"])) else dict.fromkeys(arm)
    cells = (
        _number(case["each"], 1, 3),
        _number(case["step"], 1, 3),
        _number(case["reserved"] or None, GIB, 2),
        _number(once["card_bytes"], GIB, 2),
        _number(once["moved_bytes"], GB, 2),
        _number(exposed(arm, name, arms), 1, 3),
        _number(once["host_bytes"] or None, GIB, 2),
        _number(once["cold_seconds"], 1, 1),
        "-" if once["relative_l2"] is None else f"{once['relative_l2']:.1e}",
    )
    return f"{arm['name']:<{WIDTH}}" + "".join(f"{cell:>{CELL}}" for cell in cells)


def _number(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"
