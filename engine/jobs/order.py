"""A job as the painting process gets it, and what the two processes tell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ErrorReport
from engine.events import Stage
from engine.hardware import Card, Host, Rates, Tuning
from engine.request import Precision, Request
from engine.settings import Attention, FileType, Profile, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a job's pictures go.

    name: file name of the picture, None = a fresh one by date; of several pictures, OUT.png becomes
    OUT-1.png, OUT-2.png ... latents: a safetensors file for the latents, None = not kept.
    """

    folder: Path
    name: str | None = None
    latents: Path | None = None

    def file_names(self, count: int) -> tuple[str, ...] | None:
        """Return the names of `count` pictures, None where fresh names are wanted."""
        if self.name is None:
            return None
        if count == 1:
            return (self.name,)
        name = Path(self.name)
        return tuple(f"{name.stem}-{i}{name.suffix}" for i in range(1, count + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An accepted request with its id, and the user's settings it is to be carried out with.

    Device and precision of the settings stand in the request by now. data_dir, lora_folder: where
    models and adapters are looked for. vram_gb: GB of a graphics card's memory that may be used,
    None = all that is free. profile: how memory is shared out. file_type, metadata: how pictures
    without a name of their own are saved, and whether with their recipe. preview_seconds: least
    time between previews, 0 = none. session: whose job it is, "" = the owner's of the computer.
    """

    job: str
    request: Request
    output: Output
    session: str = ""
    data_dir: Path = field(default_factory=lambda: Settings().data_dir)
    lora_folder: Path = field(default_factory=lambda: Settings().lora_folder)
    vram_gb: float | None = None
    profile: Profile = Profile.AUTO
    file_type: FileType = FileType.PNG
    metadata: bool = True
    preview_seconds: float = 0.25
    attention: Attention = Attention.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Asks the painting process to stop a job."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOrder:
    """Asks the painting process to find its fastest ways; data_dir: where the winners are kept."""

    data_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOrder:
    """Asks the painting process how fast the machine is; it answers with a `WorkerState`.

    data_dir: where that is kept.
    """

    data_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Answers a `TuneOrder`: what was found, or why nothing was."""

    tuning: Tuning | None = None
    error: ErrorReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """Says that the painting process is ready; `device` and `memory` are words for the user.

    total_bytes: memory that the device has, 0 where unknown. precision: what automatic comes to
    there, None where unknown. name: the device as torch names it; card: what it is, None for the
    processor; host, rates: the computer around it, and how fast both were measured to be.
    has_bf16: whether the processor computes in bfloat16 by itself.
    """

    device: str
    memory: str
    total_bytes: int = 0
    precision: Precision | None = None
    name: str = "cpu"
    card: Card | None = None
    host: Host = field(default_factory=Host)
    rates: Rates = field(default_factory=Rates)
    has_bf16: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBroken:
    """Says that the painting process can do no more work and wants to be replaced."""

    error: ErrorReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a stage is; `eta` in seconds; `preview` a JPEG."""

    stage: Stage
    step: int = 0
    total: int = 0
    eta: float | None = None
    preview: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a running job talks to the outside; all may be called from any thread."""

    emit: Callable[[Step], None]
    warn: Callable[[str], None]
    cancelled: Callable[[], bool]
