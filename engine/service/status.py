"""How the engine is, in words and numbers for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.jobs.order import WorkerState
from engine.request import Precision

State = Literal["starting", "ready", "busy", "restarting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the engine is: its state, the device and its memory in words, and how many jobs wait.

    total_bytes: memory that the device has, 0 while that is unknown. precision: what automatic
    comes to there, None while that is unknown. measured: whether it is known how fast it is.
    """

    state: State
    device: str
    memory: str
    queue: int
    total_bytes: int = 0
    precision: Precision | None = None
    measured: bool = False


def status_of(told: WorkerState | None, *, busy: bool, lost: bool, waiting: int) -> Status:
    """Describe an engine by what its worker told last, None while it has none."""
    if told is None:
        state: State = "restarting" if lost else "starting"
        return Status(state=state, device="", memory="", queue=waiting)
    return Status(
        state="busy" if busy else "ready",
        device=told.device,
        memory=told.memory,
        queue=waiting,
        total_bytes=told.total_bytes,
        precision=told.precision,
        measured=bool(told.rates.operations),
    )
