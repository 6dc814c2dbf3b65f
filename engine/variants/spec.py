"""The shape of a model variant: everything the program knows about a model besides its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_WORDS = re.compile(r"[^\W_]+")


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
class Variant:
    """One model variant.

    folder: where its weights lie in this program, None where the user brings them.
    vocabulary_file: the words its training knew, one a line in lower case; None: any word may do.
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

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """The words the model knows, in lower case; None where it was trained on open language."""
        if self.vocabulary_file is None:
            return None
        return frozenset(self.vocabulary_file.read_text(encoding="utf-8").split())

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Return the words of a prompt that the model never saw, each once, in their order."""
        known = self.vocabulary
        if known is None:
            return ()
        words = dict.fromkeys(_WORDS.findall(prompt.lower()))
        return tuple(word for word in words if word not in known)
