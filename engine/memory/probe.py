"""What the machine computes on, and how much memory this process takes."""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import torch

from engine.hardware import Card, Hardware, Host
from engine.jobs.order import WorkerState
from engine.memory.budget import CONTEXT_BYTES
from engine.memory.host import host
from engine.memory.work import GIB
from engine.setup.live import CardState, card_states

SAMPLE_SECONDS = 0.02

WORKSTATION_BYTES: Final = 33 * GIB
"""A card below this is taken to draw a screen where nothing tells."""

_STATUS = Path("/proc/self/status")
_ANONYMOUS = ("RssAnon:", "RssShmem:")


def hardware() -> Hardware:
    """Ask what there is; takes some 20 ms, seconds where nvidia-smi does not answer.

    No card is woken but where nvidia-smi cannot tell what is free of it.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    states = card_states() if count and torch.version.hip is None else {}
    return Hardware(
        cards=tuple(_card(number, states) for number in range(count)),
        mps=torch.backends.mps.is_available(),
        host=host(),
    )


def host_now() -> Host:
    """Return the computer; what this process holds counts as free, for a plan may use it anew."""
    computer = host()
    if not computer.available_bytes:
        return computer
    held = int(anonymous_gib() * GIB)
    return replace(computer, available_bytes=computer.available_bytes + held)


def card_now(device: str, machine: Hardware) -> Card | None:
    """Return the card of a device with the memory that is free of it now, None for the processor.

    machine: what `hardware` found before.
    """
    if device == "mps":
        total = torch.mps.recommended_max_memory()
        free = min(total, host().available_bytes + torch.mps.driver_allocated_memory())
        return Card(
            name="Apple GPU", capability=(0, 0), total_bytes=total, free_bytes=free, kind="mps"
        )
    if not device.startswith("cuda"):
        return None
    number = _number(device)
    return replace(machine.cards[number], free_bytes=_free(number))


def _number(device: str) -> int:
    """Return the number of a card; the first one needs none in its name."""
    return torch.device(device).index or 0


def _card(number: int, states: Mapping[str, CardState]) -> Card:
    facts = torch.cuda.get_device_properties(number)
    uuid = str(getattr(facts, "uuid", "")).lower()
    state = states.get(uuid, CardState(free_bytes=None, display=None))
    free = _free(number) if state.free_bytes is None else state.free_bytes + _held(number)
    told = True if _is_windows() else state.display
    return Card(
        name=facts.name,
        capability=(facts.major, facts.minor),
        total_bytes=facts.total_memory,
        free_bytes=min(facts.total_memory, free),
        display=facts.total_memory < WORKSTATION_BYTES if told is None else told,
        kind="cuda" if torch.version.hip is None else "rocm",
    )


def _free(number: int) -> int:
    """Return the bytes that other programs leave of a card, asked of its driver; this wakes it."""
    free, total = torch.cuda.mem_get_info(number)
    reserved = torch.cuda.memory_reserved(number)
    # Before any work the context is there, but libraries and most kernels are yet to come.
    taken = CONTEXT_BYTES if reserved else CONTEXT_BYTES // 2
    return min(total, free + reserved + taken)


def _held(number: int) -> int:
    """Return the bytes of a card that this process holds, with its driver context."""
    reserved = torch.cuda.memory_reserved(number)
    return reserved + CONTEXT_BYTES if reserved else 0


def _is_windows() -> bool:
    """Say whether Windows shares out the cards' memory, from below Linux too (WSL)."""
    return sys.platform == "win32" or "microsoft" in platform.release().lower()


def describe(device: str) -> WorkerState:
    """Describe a device and its memory in words."""
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(torch.device(device))
        memory = f"{(total - free) / GIB:.1f} of {total / GIB:.1f} GiB in use"
        return WorkerState(
            device=torch.cuda.get_device_name(device), memory=memory, total_bytes=total
        )
    memory, computer = f"{anonymous_gib():.1f} GiB in use", host()
    name = "Apple GPU" if device == "mps" else f"CPU, {computer.cores} cores"
    return WorkerState(device=name, memory=memory, total_bytes=computer.total_bytes)


def limit(device: str, vram_gb: float | None) -> bool:
    """Hold this process to `vram_gb` GB of a CUDA card, None = all; False where that has no effect.

    torch raises its out-of-memory error at the limit.
    """
    if not device.startswith("cuda"):
        return vram_gb is None
    total = torch.cuda.mem_get_info(torch.device(device))[1]
    share = 1.0 if vram_gb is None else min(1.0, vram_gb * GIB / total)
    # Of all calls here this one takes no device that leaves its number out.
    torch.cuda.set_per_process_memory_fraction(share, _number(device))
    return True


def anonymous_gib() -> float:
    """Return the GiB of anonymous and shared pages of this process.

    Only Linux tells them apart; elsewhere 0.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(_ANONYMOUS)) / 2**20
    return 0.0


class PeakMemory:
    """Watches this process's memory while its block runs; `gib` holds the largest size seen."""

    def __init__(self) -> None:
        self.gib = anonymous_gib()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.gib = max(self.gib, anonymous_gib())
