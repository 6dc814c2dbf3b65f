"""Shapes that papers, screens and pages have, for any model to paint in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.presets.files import (
    check_number,
    check_object,
    check_title,
    read_groups,
)

MAX_SIDE: Final = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A shape by name: its width to its height, in any unit."""

    title: str
    group: str
    width: float
    height: float


def shapes(folders: Sequence[Path]) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
    """Return the shapes in the folders' JSON files, and what to tell of what is wrong.

    A later shape takes the place of an earlier one of the same title. Never fails.
    """
    found, notices = read_groups(folders, "shapes", _shape)
    return tuple({shape.title: shape for shape in found}.values()), notices


def _shape(value: object, what: str, group: str) -> Shape:
    values = check_object(value, what, ("title", "width", "height"))
    return Shape(
        title=check_title(values["title"], what),
        group=group,
        width=check_number(values["width"], what, 1.0, MAX_SIDE),
        height=check_number(values["height"], what, 1.0, MAX_SIDE),
    )
