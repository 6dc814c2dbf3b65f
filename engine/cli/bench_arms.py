"""Who takes part in a benchmark, and in what: plain values, and which of them this machine can run.

Arms of one group take turns, so that a machine that gets slower is no arm's fault. A group is what
can be compared: everything on the card, or everything within the same limit.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.request import Precision

LIMITS = (4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
"""GiB of a card that may be used."""

QUICK_LIMITS = (4.0, 8.0)
REFERENCE = "diffusers bf16"
PEER_PROGRAM = (str(Path(__file__).with_name("peer_arm.py")),)
OWN_PROGRAM = ("-m", "engine.cli.own_arm")
RESIDENT, CARD_ONLY = "resident", "a graphics card is needed"
_PEER_NEEDS = {"model offload": ("accelerate",), "quanto": ("optimum.quanto",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSpec:
    """One way to paint. missing: why this machine cannot go it, "" where it can."""

    name: str
    method: str
    precision: Precision
    limit_gb: float | None = None
    python: Path = Path(sys.executable)
    missing: str = ""

    @property
    def is_ours(self) -> bool:
        """Say whether it is this program."""
        return self.method == "ours"

    @property
    def program(self) -> tuple[str, ...]:
        """Return what the child's Python is to run."""
        return OWN_PROGRAM if self.is_ours else PEER_PROGRAM

    def config(self, folder: Path, device: str) -> dict[str, Any]:
        """Return what the child is told when it starts."""
        dtype = "float32" if self.precision is Precision.FP32 else "bfloat16"
        return {"folder": str(folder), "device": device, "method": self.method, "dtype": dtype,
                "precision": str(self.precision), "limit_gb": self.limit_gb}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What every arm paints: square pictures of `side` pixels, `count` at once."""

    side: int
    count: int
    steps: int
    guidance: float

    @property
    def name(self) -> str:
        """Say what it is, in a few words."""
        course = f"{self.steps} steps" + (" guided" if self.guidance else "")
        return f"{self.side} x {self.side} x {self.count}, {course}"

    def order(self, number: int) -> dict[str, Any]:
        """Return the order for round `number`; each has a prompt that was not read before."""
        return {"prompt": f"a large red circle on a white background, number {number}",
                "width": self.side, "height": self.side, "count": self.count, "steps": self.steps,
                "guidance": self.guidance, "seed": 1000 + number}  # fmt: skip


def groups(*, has_card: bool, quick: bool, peer: Path | None) -> list[list[ArmSpec]]:
    """Return all arms, in groups; those that cannot be gone here say why."""
    limits = QUICK_LIMITS if quick else LIMITS
    return [
        list(_on_the_card(has_card, quick, peer)),
        *([*_within(limit, has_card, peer)] for limit in limits),
    ]


def cases(sides: tuple[int, ...], *, quick: bool) -> list[Case]:
    """Return what is painted; the first case is what cold start and quality are taken from."""
    if quick:
        side = sides[min(1, len(sides) - 1)]
        return [Case(side=side, count=1, steps=8, guidance=0.0)]
    return [
        Case(side=side, count=count, steps=steps, guidance=guidance)
        for steps, guidance in ((8, 0.0), (30, 4.0))
        for count in (1, 4)
        for side in sides
    ]


def _on_the_card(has_card: bool, quick: bool, peer: Path | None) -> Iterator[ArmSpec]:
    yield ArmSpec(name=REFERENCE, method=RESIDENT, precision=Precision.BF16, missing=_lacks())
    yield ArmSpec(name="ours bf16", method="ours", precision=Precision.BF16)
    yield ArmSpec(name="ours int8", method="ours", precision=Precision.INT8)
    yield ArmSpec(
        name="quanto int8", method="quanto", precision=Precision.BF16, missing=_lacks("quanto")
    )
    if not quick:
        missing = _lacks() if has_card else CARD_ONLY
        name, method = "diffusers compiled", "compiled"
        yield ArmSpec(name=name, method=method, precision=Precision.BF16, missing=missing)
    if peer is None:
        missing = "name the Python of its environment with --peer-python"
        yield ArmSpec(name="mmgp", method="mmgp 4", precision=Precision.BF16, missing=missing)


def _within(limit: float, has_card: bool, peer: Path | None) -> Iterator[ArmSpec]:
    no_card = "" if has_card else CARD_ONLY

    def arm(name: str, method: str, precision: Precision, **rest: Any) -> ArmSpec:
        full = f"{name} in {limit:g} GB"
        return ArmSpec(name=full, method=method, precision=precision, limit_gb=limit, **rest)

    yield arm("ours int8", "ours", Precision.INT8, missing=no_card)
    yield arm("ours bf16", "ours", Precision.BF16, missing=no_card)
    for method in ("model offload", "group offload"):
        missing = no_card or _lacks(method)
        yield arm(f"diffusers {method}", method, Precision.BF16, missing=missing)
    if peer is not None:
        for method in ("mmgp 2", "mmgp 4", "mmgp 5"):
            yield arm(method, method, Precision.BF16, missing=no_card, python=peer)


def _lacks(method: str = "") -> str:
    """Say which package of a peer is not installed; "" if all are."""
    for package in ("diffusers", *_PEER_NEEDS.get(method, ())):
        if importlib.util.find_spec(package.split(".")[0]) is None:
            return f"{package} is not installed"
    return ""
