"""What a contact sheet shows: many pictures on one, in rows and columns, each with its label.

Plain values; `engine.images.contact` draws them, for it needs Pillow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BadRequest

MAX_CELLS: Final = 4096
SMALLEST_SIDE: Final = 16
"""Of a cell's picture, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One place of a sheet. picture: a file, None where there is none; problem: why there is none.

    label: what stands below it, cut to two lines.
    """

    picture: Path | None = None
    label: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Cells row by row, 1 to 4096 of them.

    columns: cells of a row, 0 for about as many as there are rows. title: above all of them.
    column_names, row_names: what a column or a row has in common, said once at its head; none, or
    one for each. side: pixels of a cell's longer picture side at most, from 16.
    """

    cells: tuple[Cell, ...]
    columns: int = 0
    title: str = ""
    column_names: tuple[str, ...] = ()
    row_names: tuple[str, ...] = ()
    side: int = 256

    def __post_init__(self) -> None:
        """Check the numbers; raise `BadRequest`."""
        if not 1 <= len(self.cells) <= MAX_CELLS:
            raise BadRequest(
                f"A sheet holds 1 to {MAX_CELLS} pictures, not {len(self.cells)}.",
                "Choose fewer pictures.",
            )
        if self.columns < 0 or self.side < SMALLEST_SIDE:
            raise BadRequest(
                f"A sheet of {self.columns} columns and pictures of {self.side} pixels cannot be."
            )
        for names, count in ((self.column_names, self.across), (self.row_names, self.down)):
            if names and len(names) != count:
                raise BadRequest(f"The sheet has {count} rows or columns, but {len(names)} names.")

    @property
    def across(self) -> int:
        """Cells of a row."""
        return self.columns or math.ceil(math.sqrt(len(self.cells)))

    @property
    def down(self) -> int:
        """Number of rows."""
        return math.ceil(len(self.cells) / self.across)
