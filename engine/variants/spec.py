"""The shape of a model variant: everything the program knows about a model besides its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.request import Precision

GUIDANCE_RANGE: Final = (0.0, 20.0)
"""What the guidance control offers, both ends included."""

SHIFT_RANGE: Final = (1.0, 10.0)
"""What the shift control offers, both ends included."""

_WORDS = re.compile(r"[^\W_]+")


class Solver(StrEnum):
    """How a variant was trained to go from noise to picture."""

    FLOW = "flow"
    TWINFLOW = "twinflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request gets where it says nothing. Sides in pixels."""

    steps: int
    guidance_scale: float
    shift: float
    width: int
    height: int
    negative: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Recommended ranges, both ends included; outside them a request runs with a notice.

    sides: pixels of width and height. pixels: of the whole picture.
    """

    steps: tuple[int, int]
    guidance_scale: tuple[float, float]
    sides: tuple[int, int]
    pixels: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A control, by its name in `Request`, that the model ignores at its defaults, and why."""

    control: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A picture size on offer, in pixels."""

    label: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a public repository.

    path: inside the repository. to: where it lies in the model's folder, with forward slashes.
    size: bytes, about right where the hash is unknown. sha256: 64 hex digits, None if unknown.
    """

    repo: str
    path: str
    to: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """All files of a variant in one precision: a model folder that needs nothing else."""

    precision: Precision
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One model variant.

    folder: where its weights lie in this program, None where the user brings or fetches them.
    vocabulary_file: the words its training knew, one a line in lower case; None: any word may do.
    downloads: what can be fetched, the first being the default; no two of one precision.
    unavailable: why there are no public weights, for the user to read; None where there are.
    solver: FLOW takes any schedule and sampler, TWINFLOW has its own.
    edits: whether it changes pictures by instruction, taking them as references.
    """

    name: str
    title: str
    summary: str
    licence: str
    folder: Path | None
    defaults: Defaults
    limits: Limits
    ignores: tuple[Ignored, ...]
    sizes: tuple[Size, ...]
    examples: tuple[str, ...]
    vocabulary_file: Path | None = None
    downloads: tuple[Download, ...] = ()
    unavailable: str | None = None
    solver: Solver = Solver.FLOW
    edits: bool = False

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """The words the model knows, in lower case; None where it was trained on open language."""
        if self.vocabulary_file is None:
            return None
        return frozenset(self.vocabulary_file.read_text(encoding="utf-8").split())

    def ignored(self, control: str) -> str | None:
        """Return why the model ignores a control, by its name in `Request`; None if it heeds it."""
        return next((found.reason for found in self.ignores if found.control == control), None)

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Return the words of a prompt that the model never saw, each once, in their order."""
        known = self.vocabulary
        if known is None:
            return ()
        words = dict.fromkeys(_WORDS.findall(prompt.lower()))
        return tuple(word for word in words if word not in known)
