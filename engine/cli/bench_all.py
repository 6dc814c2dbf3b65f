"""The benchmark against everyone: one command, one table, one file of figures."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.cli.arm_process import ArmProcess
from engine.cli.bench_arms import REFERENCE, ArmSpec, Case, cases, groups
from engine.cli.bench_table import table
from engine.cli.random_model import SIZES, write_random_model
from engine.cli.terminal import say, warn
from engine.errors import WorkerLost
from engine.hardware import Hardware, Rates
from engine.memory.place import Place
from engine.memory.probe import hardware
from engine.memory.rates import measured_rates
from engine.request import Precision

ROUNDS, QUICK_ROUNDS = 5, 3
CASE_SECONDS = 120.0
"""What the measured rounds of a case may take, all arms together, unless one takes longer."""

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What the arms are run with. model: a folder; `peer`: Python of another environment."""

    model: Path
    device: str
    cases: Sequence[Case]
    groups: Sequence[Sequence[ArmSpec]]
    rounds: int
    latents: Path


@dataclass(slots=True, kw_only=True)
class Seat:
    """An arm at work: its child, what was measured, and why it went no further."""

    spec: ArmSpec
    child: ArmProcess | None = None
    missing: str = ""
    cold_seconds: float | None = None
    card_bytes: int | None = None
    moved_bytes: int | None = None
    reports: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Say whether it still takes part."""
        return not self.missing

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the report on an order; None once the arm has failed."""
        if self.child is None or not self.runs:
            return None
        try:
            return self.child.ask(order)
        except WorkerLost as error:
            self.missing = error.message
            warn(f"{self.spec.name}: {error.message}")
            return None


def compare_all(size: str | None, model: Path | None, peer: Path | None, *, quick: bool) -> Figures:
    """Run every arm that this machine can run, print the table, and return the figures."""
    machine = hardware()
    has_card = bool(machine.cuda)
    device = "cuda:0" if has_card else "cpu"
    size = size or ("full" if has_card else "demo")
    with tempfile.TemporaryDirectory() as scratch:
        folder = model or Path(scratch) / "model"
        if model is None:
            say(f"writing a random model of the size {size} ...")
            write_random_model(folder, size, Place(device=device, precision=Precision.BF16))
            _let_go(device)
        contest = Contest(
            model=folder,
            device=device,
            cases=cases(SIZES[size].sides, quick=quick),
            groups=groups(has_card=has_card, quick=quick, peer=peer),
            rounds=QUICK_ROUNDS if quick else ROUNDS,
            latents=Path(scratch),
        )
        seats = [seat for group in contest.groups for seat in run_group(group, contest)]
        quality = _quality(contest)
        rates = measured_rates(device, contest.latents) if has_card else Rates()
    found = [_figures(seat, contest, quality) for seat in seats]
    for line in table(found):
        say(line)
    return {"what": "everyone", "machine": _machine(machine, rates), "model": size if model is None
            else str(model), "quick": quick, "arms": found}  # fmt: skip


def run_group(group: Sequence[ArmSpec], contest: Contest) -> list[Seat]:
    """Let the arms of a group take turns over all cases; they live only as long."""
    seats = [Seat(spec=spec, missing=spec.missing) for spec in group]
    with ExitStack() as children:
        for seat in seats:
            if seat.runs:
                _seat(seat, contest, children)
        for case in contest.cases:
            _take_turns(seats, case, contest.rounds)
        if contest.device.startswith("cuda"):
            for seat in seats:
                counted = seat.ask({**contest.cases[0].order(0), "count_bytes": True})
                seat.moved_bytes = counted["moved"] if counted else None
        for seat in seats:
            host = seat.child.host_bytes if seat.child else 0
            seat.reports.setdefault("host", []).append({"bytes": host})
    return seats


def _seat(seat: Seat, contest: Contest, children: ExitStack) -> None:
    """Start an arm's child and have it paint its first picture, from a cold start."""
    before = _card_used()
    spec, order = seat.spec, contest.cases[0].order(0)
    say(f"{spec.name} ...")
    began = time.perf_counter()
    config = spec.config(contest.model, contest.device)
    seat.child = children.enter_context(ArmProcess(spec.python, spec.program, config))
    report = seat.ask({**order, "latents": str(_latents(contest, spec))})
    if report is not None:
        seat.cold_seconds = time.perf_counter() - began
        seat.card_bytes = report["card_used"] - before if report["card_used"] else None


def _take_turns(seats: Sequence[Seat], case: Case, rounds: int) -> None:
    """Warm every arm up, then measure them in turn, in an order that is reversed every round."""
    warm = [seat.ask(case.order(0)) for seat in seats]
    taken = sum(report["seconds"] for report in warm if report is not None)
    for number in range(1, rounds_in(taken, rounds) + 1):
        for seat in seats[:: 1 if number % 2 else -1]:
            report = seat.ask(case.order(number))
            if report is not None:
                seat.reports.setdefault(case.name, []).append(report)


def rounds_in(seconds: float, most: int) -> int:
    """Return how many rounds a case gets, one of which takes `seconds`: fewer where it is long."""
    return max(1, min(most, int(CASE_SECONDS / max(seconds, 1e-3))))


def _figures(seat: Seat, contest: Contest, quality: Mapping[str, float]) -> Figures:
    """Return everything that was measured of an arm."""
    (host,) = seat.reports.pop("host")
    painted = {
        case.name: _painted(seat.reports[case.name], case)
        for case in contest.cases
        if case.name in seat.reports
    }
    return {"name": seat.spec.name, "limit_gb": seat.spec.limit_gb, "missing": seat.missing,
            "cold_seconds": seat.cold_seconds, "card_bytes": seat.card_bytes,
            "moved_bytes": seat.moved_bytes, "host_bytes": host["bytes"],
            "relative_l2": quality.get(seat.spec.name), "cases": painted}  # fmt: skip


def _painted(reports: Sequence[Mapping[str, Any]], case: Case) -> Figures:
    seconds = statistics.median(report["seconds"] for report in reports)
    last = reports[-1]
    return {"side": case.side, "count": case.count, "steps": case.steps, "nfe": last["nfe"],
            "guidance": case.guidance, "seconds": seconds, "each": seconds / case.count,
            "step": seconds / case.steps, "all": [report["seconds"] for report in reports],
            "reserved": max(report["reserved"] for report in reports),
            "stages": last.get("stages"), "plan": last.get("plan"),
            "warnings": last.get("warnings", [])}  # fmt: skip


def _quality(contest: Contest) -> dict[str, float]:
    """Return how far each arm's first latents are from the reference's, relative L2."""
    names = [spec.name for group in contest.groups for spec in group]
    found = {name: _read(contest.latents / f"{name}.safetensors") for name in names}
    right = found.get(REFERENCE)
    if right is None:
        return {}
    return {
        name: float((one - right).norm() / right.norm())
        for name, one in found.items()
        if one is not None
    }


def _latents(contest: Contest, spec: ArmSpec) -> Path:
    return contest.latents / f"{spec.name}.safetensors"


def _read(file: Path) -> torch.Tensor | None:
    if not file.is_file():
        return None
    with safe_open(str(file), "pt") as source:
        found: torch.Tensor = source.get_tensor("latents").double()
    return found


def _card_used() -> int:
    """Return what is taken of the first card by everyone."""
    cards = hardware().cards
    return cards[0].total_bytes - cards[0].free_bytes if cards else 0


def _let_go(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _machine(machine: Hardware, rates: Rates) -> Figures:
    """Say what was measured on; link: bytes/s from page-locked memory to the card."""
    cards = [{"name": card.name, "bytes": card.total_bytes} for card in machine.cards]
    return {"cards": cards, "link": rates.link, "cores": machine.host.cores,
            "host_bytes": machine.host.total_bytes, "torch": torch.__version__,
            "python": sys.version.split()[0]}  # fmt: skip
