"""What a job tells the outside: a stream of events that ends in exactly one terminal event."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from engine.errors import ErrorReport
from engine.request import Request


class Stage(StrEnum):
    """Parts of a job, in order."""

    LOADING = "loading"
    PREPARING = "preparing"
    ENCODING = "encoding"
    DENOISING = "denoising"
    DECODING = "decoding"
    SAVING = "saving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What lies outside a feathered mask: its pixels, and how many of them were changed."""

    changed: int
    pixels: int

    def __str__(self) -> str:
        """Return the finding as half a sentence."""
        return f"{self.changed:,} of {self.pixels:,} outside pixels changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One saved picture: its file, its recipe (see `engine.images.metadata`), and its figures.

    outside: of one that was repainted in part.
    """

    path: Path
    recipe: dict[str, object]
    width: int
    height: int
    outside: Outside | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished job made, and what it took.

    seconds: per stage, keyed by `Stage` value, and "total". peak_memory: GiB of anonymous and
    shared pages of the painting process. nfe: model evaluations per picture, computed in full.
    skipped: steps, from 0, that reused most of the step before in any picture.
    """

    pictures: tuple[Picture, ...]
    seconds: dict[str, float]
    nfe: int
    precision: str
    plan: str
    peak_memory: float
    warnings: tuple[str, ...] = ()
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Base of all events; `job` is the id that `Engine.submit` returned."""

    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(JobEvent):
    """The job waits; `position` 0 is next."""

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(JobEvent):
    """The painting process took the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(JobEvent):
    """How far a stage is; `eta` in seconds and `preview` (a small JPEG) where there is one."""

    stage: Stage
    step: int = 0
    total: int = 0
    eta: float | None = None
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(JobEvent):
    """Something the user should know; the job goes on."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(JobEvent):
    """Terminal: the pictures are saved."""

    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(JobEvent):
    """Terminal: the job ended with an error."""

    error: ErrorReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(JobEvent):
    """Terminal: the user stopped the job."""


TERMINAL = (Done, Failed, Cancelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An accepted request with its id."""

    id: str
    request: Request
