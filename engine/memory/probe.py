"""What the machine computes on, and how much memory this process takes."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from engine.hardware import Card, Hardware, Host
from engine.jobs.order import WorkerState

GIB = 2**30
SAMPLE_SECONDS = 0.02

_STATUS = Path("/proc/self/status")
_ANONYMOUS = ("RssAnon:", "RssShmem:")


def hardware() -> Hardware:
    """Ask torch what there is."""
    cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return Hardware(
        cards=tuple(_card(card) for card in cards),
        mps=torch.backends.mps.is_available(),
        host=Host(total_bytes=host_bytes(), cores=os.cpu_count() or 1),
    )


def _card(number: int) -> Card:
    free, total = torch.cuda.mem_get_info(number)
    return Card(
        name=torch.cuda.get_device_name(number),
        capability=torch.cuda.get_device_capability(number),
        total_bytes=total,
        free_bytes=free,
    )


def describe(device: str) -> WorkerState:
    """Describe a device and its memory in words."""
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(torch.device(device))
        memory = f"{(total - free) / GIB:.1f} of {total / GIB:.1f} GiB in use"
        return WorkerState(
            device=torch.cuda.get_device_name(device), memory=memory, total_bytes=total
        )
    memory = f"{anonymous_gib():.1f} GiB in use"
    name = "Apple GPU" if device == "mps" else f"CPU, {os.cpu_count()} cores"
    return WorkerState(device=name, memory=memory, total_bytes=host_bytes())


def limit(device: str, vram_gb: float | None) -> bool:
    """Hold this process to `vram_gb` GB of a CUDA card, None = all; False where that has no effect.

    torch raises its out-of-memory error at the limit.
    """
    if not device.startswith("cuda"):
        return vram_gb is None
    total = torch.cuda.mem_get_info(torch.device(device))[1]
    share = 1.0 if vram_gb is None else min(1.0, vram_gb * GIB / total)
    torch.cuda.set_per_process_memory_fraction(share, torch.device(device))
    return True


def host_bytes() -> int:
    """Return the bytes of the computer's memory; 0 where the system does not tell."""
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
