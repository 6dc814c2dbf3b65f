"""Optimise for this machine: tries the ways that it has of computing a block, keeps the fastest."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeGuard

import torch
from torch import Tensor

from engine.errors import DiskError
from engine.hardware import Choice, Tuning
from engine.memory import machine_file
from engine.memory.accelerate import Options, accelerate
from engine.memory.host import host
from engine.memory.rates import identity, measured_rates, wait
from engine.memory.trial_block import Trial, TrialBlock

_log = logging.getLogger(__name__)

KEPT: Final = "tuning"
THREADS: Final = "threads"
BLOCK: Final = "block"
COMPILED: Final = "compiled"

SECONDS: Final = 25.0
"""When no other trial is begun; what is under way then, building a kernel perhaps, is finished."""

WARM_UP: Final = 8
"""So often a card runs a way before time is taken: forms prove themselves, and graphs are made."""

ROUNDS: Final = 7
BOUND: Final = 5e-2
"""How far the result of a way may be off the first one's, as a part of it."""

CLEARLY: Final = 0.97
"""What part of the time of the way in use another may take at most to replace it."""

MOST_CHOICES: Final = 64
LONGEST_NAME: Final = 80
LONGEST: Final = 3600.0
"""What a file may say: characters of a name, and seconds of a trial or of all of them."""

ON_A_CARD: Final = 4224
ON_THE_CPU: Final = 544
"""Tokens of a picture of 1024 x 1024 pixels, and of 512 x 256, which a slow processor can do."""

Ways = Mapping[str, Callable[[], None]]
"""How to put each way of a subject in place, by name; the one in use comes first."""

Subjects = Mapping[str, Callable[[TrialBlock, torch.device], Ways]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How ways are compared: by running `run` on `device` until `deadline`, a perf_counter.

    check may raise between trials.
    """

    run: Callable[[], Tensor]
    device: torch.device
    deadline: float
    check: Callable[[], None]

    def right(self, ways: Ways) -> Ways:
        """Return the ways that compute what the first one does; after the deadline none is begun.

        Raises `RuntimeError` if the first one, which is in use, fails.
        """
        return {name: ways[name] for name in self._right(ways)}

    def _right(self, ways: Ways) -> Iterator[str]:
        right: Tensor | None = None
        for name, put in ways.items():
            self.check()
            if right is not None and time.perf_counter() > self.deadline:
                return
            put()
            try:
                found = self.run().float()
            except RuntimeError as error:
                if right is None:
                    raise
                _log.warning("%s failed and is left out: %s", name, error)
                continue
            right = found if right is None else right
            off = float((found - right).norm() / right.norm())
            # Not a number is not small either.
            if off <= BOUND:
                yield name
            else:
                _log.warning("%s is off by %.2g and is left out", name, off)

    def medians(self, ways: Ways) -> dict[str, float]:
        """Return the median seconds of each way.

        They take turns, in an order that is reversed every round, so that a machine that gets
        slower is no way's fault. Each trial follows one that is not timed.
        """
        names = [*ways]
        for name in names:
            self._warm_up(ways[name])
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(ROUNDS):
            for name in names[:: -1 if number % 2 else 1]:
                seconds[name].append(self._seconds(ways[name]))
            if time.perf_counter() > self.deadline:
                break
        return {name: statistics.median(times) for name, times in seconds.items()}

    def _warm_up(self, put: Callable[[], None]) -> None:
        put()
        for _ in range(WARM_UP if self.device.type == "cuda" else 0):
            self.check()
            self.run()

    def _seconds(self, put: Callable[[], None]) -> float:
        self.check()
        put()
        self.run()
        wait(self.device)
        began = time.perf_counter()
        self.run()
        wait(self.device)
        return time.perf_counter() - began


def known_tuning(device: str, data_dir: Path) -> Tuning:
    """Return what was tried of a device before; no choices where nothing was."""
    values = machine_file.recall(data_dir, identity(device), KEPT)
    listed, seconds = values.get("choices"), values.get("seconds")
    rows = listed[:MOST_CHOICES] if isinstance(listed, list) else []
    choices = [choice for row in rows if (choice := _choice(row)) is not None]
    if not choices or len(choices) < len(rows) or not _is_time(seconds):
        return Tuning(device=device)
    return Tuning(device=device, choices=tuple(choices), seconds=seconds)


def apply_tuning(tuning: Tuning) -> None:
    """Compute with as many threads as were fastest from now on, and never more than cores allow.

    That is what the CPU takes. Every other winner is taken by who makes the choice, with
    `Tuning.winner`.
    """
    count = tuning.winner(THREADS) or ""
    wanted = int(count) if count.isdecimal() else torch.get_num_threads()
    torch.set_num_threads(max(1, min(wanted, host().cores)))


def tune(device: str, data_dir: Path, check: Callable[[], None]) -> Tuning:
    """Try every way that a device has, keep the winners in the data folder, return all of it.

    Takes less than a minute, and some 300 MB on the device. check may raise at any time between
    trials. How fast the machine is is measured anew too.
    """
    began = time.perf_counter()
    place = torch.device(device)
    measured_rates(device, data_dir, anew=True)
    check()
    trial = Trial(tokens=ON_THE_CPU if place.type == "cpu" else ON_A_CARD)
    subjects = SUBJECTS.get(place.type, {})
    choices = contested(TrialBlock(trial, place), place, subjects, check)
    seconds = time.perf_counter() - began
    tuning = Tuning(device=device, choices=choices, seconds=seconds)
    values = {"choices": [asdict(choice) for choice in choices], "seconds": seconds}
    try:
        machine_file.keep(data_dir, identity(device), KEPT, values)
    except DiskError as error:
        _log.warning("what was found out about %s is not kept: %s", device, error)
    return tuning


def contested(
    block: TrialBlock, device: torch.device, subjects: Subjects, check: Callable[[], None]
) -> tuple[Choice, ...]:
    """Compare the ways of every subject; the fastest stays in place while later ones are tried.

    A subject of which one way works, or of which there is time for one, is no choice. The number of
    threads is as before in the end.
    """
    threads, began = torch.get_num_threads(), time.perf_counter()
    choices: list[Choice] = []
    try:
        for number, (subject, list_ways) in enumerate(subjects.items(), start=1):
            deadline = began + SECONDS * number / len(subjects)
            contest = Contest(run=block.run, device=device, deadline=deadline, check=check)
            ways = contest.right(list_ways(block, device))
            seconds = contest.medians(ways) if len(ways) > 1 else {}
            taken = _fastest(seconds) if seconds else next(iter(ways), None)
            if taken is not None:
                ways[taken]()
            choices += [
                Choice(subject=subject, name=name, seconds=median, taken=name == taken)
                for name, median in seconds.items()
            ]
    finally:
        torch.set_num_threads(threads)
    return tuple(choices)


def _fastest(seconds: Mapping[str, float]) -> str:
    """Return the name of the fastest way; the one in use, the first, where none clearly is."""
    in_use = next(iter(seconds))
    fastest = min(seconds, key=seconds.__getitem__)
    return fastest if seconds[fastest] <= CLEARLY * seconds[in_use] else in_use


def _threads(_block: TrialBlock, _device: torch.device) -> Ways:
    """List numbers of threads: processors share cores and memory in ways that no number tells."""
    cores = host().cores
    counts = dict.fromkeys((torch.get_num_threads(), cores, cores * 3 // 4, cores // 2))
    return {str(count): partial(torch.set_num_threads, count) for count in counts if count > 0}


def _forms(block: TrialBlock, device: torch.device) -> Ways:
    """List the forms of a block; a compiled one comes last, for it takes longest to make."""
    attention, ways = block.block.attention, dict[str, Callable[[], None]]()
    attend = attention.attend
    for name, options in FORMS.items():
        accelerate(block.network, device, block.dtype, is_base=False, options=options)
        ways[name] = partial(setattr, block.block, "form", block.block.form)
    attention.attend = attend
    return ways


FORMS: Final[Mapping[str, Options]] = MappingProxyType(
    {
        "fused": Options(graphs=False),
        "fused, graphs": Options(),
        "plain": Options(fused=False, graphs=False),
        COMPILED: Options(compiled=True),
    }
)

SUBJECTS: Final[Mapping[str, Subjects]] = MappingProxyType(
    {
        "cpu": {THREADS: _threads},
        "cuda": {BLOCK: _forms},
    }
)
"""What there is to choose, by the kind of device; products and kernels are, at every start."""


def _choice(row: object) -> Choice | None:
    """Read a choice from a file that may come from anywhere."""
    if not isinstance(row, dict):
        return None
    subject, name, seconds, taken = (
        row.get(key) for key in ("subject", "name", "seconds", "taken")
    )
    if not _is_name(subject) or not _is_name(name) or not _is_time(seconds):
        return None
    if not isinstance(taken, bool):
        return None
    return Choice(subject=subject, name=name, seconds=seconds, taken=taken)


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= LONGEST_NAME


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and 0 < value < LONGEST
