"""Draws contact sheets: `engine.sheets` says what is on them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from engine.errors import BadRequest, StudioError
from engine.images.open import open_picture
from engine.sheets import SMALLEST_SIDE, Cell, Sheet
from engine.storage import atomic_write

MAX_PIXELS: Final = 24_000_000
"""Of a whole sheet; pictures become smaller where many would go beyond."""
SUFFIXES: Final = (".png", ".jpg", ".jpeg")

_GAP = 12
_LINES = 2
_QUALITY = 92
_PAPER, _INK, _PALE, _EMPTY, _BAD = "#ffffff", "#1e2430", "#5b6472", "#eceff3", "#9a2a2a"
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# The font that Pillow brings holds Latin letters only.
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "DejaVuSans.ttf")


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Return a sheet as RGB of 8 bits, at most 24 megapixels; pictures keep their proportions.

    A picture that cannot be opened leaves its place empty, with the reason in it.
    """
    layout = _Layout.of(sheet)
    paper = Image.new("RGB", layout.size, _PAPER)
    pen = ImageDraw.Draw(paper)
    _draw_heads(pen, sheet, layout)
    for index, cell in enumerate(sheet.cells):
        left, top = layout.corner(index % sheet.across, index // sheet.across)
        _draw_cell(paper, cell, (left, top, layout.side), layout.text)
    return paper


def save_sheet(sheet: Sheet, path: Path) -> None:
    """Write a sheet to a .png, .jpg or .jpeg file whose folder exists; nothing half.

    Raise `BadRequest` for another kind of file, or `DiskError`.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadRequest(
            f"A sheet cannot be written as {path.name!r:.200}.", f"Use {', '.join(SUFFIXES)}."
        )
    file = io.BytesIO()
    kind = "PNG" if suffix == ".png" else "JPEG"
    draw_sheet(sheet).save(file, kind, quality=_QUALITY)
    atomic_write(path, file.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where things lie on a sheet, in pixels. text: height of the letters, caption: of a label."""

    side: int
    text: int
    caption: int
    left: int
    top: int
    size: tuple[int, int]

    @classmethod
    def of(cls, sheet: Sheet) -> _Layout:
        """Lay a sheet out; its pictures shrink until it has no more pixels than it may."""
        side = sheet.side
        found = cls._with_side(sheet, side)
        while math.prod(found.size) > MAX_PIXELS and side > SMALLEST_SIDE:
            side = max(SMALLEST_SIDE, side * 9 // 10)
            found = cls._with_side(sheet, side)
        return found

    @classmethod
    def _with_side(cls, sheet: Sheet, side: int) -> _Layout:
        text = max(9, min(18, side // 14))
        line = text * 4 // 3
        caption = _LINES * line + _GAP // 2 if any(cell.label for cell in sheet.cells) else 0
        left = _GAP + (max(side // 2, 48) if sheet.row_names else 0)
        top = _GAP + (2 * line if sheet.title else 0) + (2 * line if sheet.column_names else 0)
        width = left + sheet.across * (side + _GAP)
        height = top + sheet.down * (side + caption + _GAP)
        return cls(side=side, text=text, caption=caption, left=left, top=top, size=(width, height))

    def corner(self, column: int, row: int) -> tuple[int, int]:
        """Return where the picture of a cell has its top left corner."""
        step = self.side + _GAP
        return self.left + column * step, self.top + row * (step + self.caption)


def _draw_heads(pen: ImageDraw.ImageDraw, sheet: Sheet, layout: _Layout) -> None:
    line = layout.text * 4 // 3
    if sheet.title:
        _write(pen, (_GAP, _GAP, layout.size[0] - 2 * _GAP), sheet.title, layout.text + 2)
    for column, name in enumerate(sheet.column_names):
        left, top = layout.corner(column, 0)
        _write(pen, (left, top - 2 * line, layout.side), name, layout.text)
    for row, name in enumerate(sheet.row_names):
        _, top = layout.corner(0, row)
        _write(pen, (_GAP, top, layout.left - 2 * _GAP), name, layout.text, lines=6)


def _draw_cell(paper: Image.Image, cell: Cell, place: tuple[int, int, int], text: int) -> None:
    """Draw a cell. place: left, top, and side of its picture."""
    left, top, side = place
    pen = ImageDraw.Draw(paper)
    picture, problem = _fitted(cell, side)
    if picture is None:
        pen.rectangle((left, top, left + side - 1, top + side - 1), fill=_EMPTY)
        inset = (left + _GAP // 2, top + _GAP // 2, side - _GAP)
        _write(pen, inset, problem, text, lines=max(1, side * 3 // (4 * text) - 1), ink=_BAD)
    else:
        paper.paste(
            picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2)
        )
    _write(pen, (left, top + side + _GAP // 4, side), cell.label, text, lines=_LINES, ink=_PALE)


def _fitted(cell: Cell, side: int) -> tuple[Image.Image | None, str]:
    """Return a cell's picture, no larger than its place, or why there is none."""
    if cell.picture is None:
        return None, cell.problem
    try:
        picture = open_picture(cell.picture)
    except StudioError as error:
        return None, error.message
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture, ""


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int, int],
    text: str,
    size: int,
    lines: int = 1,
    ink: str = _INK,
) -> None:
    """Write a text from the left and top of a place, within its width, in so many lines."""
    left, top, width = place
    font = _font(text, size)
    for number, words in enumerate(_broken(text, width, lines, font)):
        pen.text((left, top + number * size * 4 // 3), words, font=font, fill=ink)


def _broken(text: str, width: int, lines: int, font: _Font) -> Iterator[str]:
    """Yield a text in lines of at most `width` pixels; what does not fit ends in an ellipsis."""
    rest = " ".join(text.split())[: 40 * lines * 4]
    for number in range(lines):
        if not rest:
            return
        fitting = _fits(rest, width, font)
        if fitting == len(rest):
            yield rest
            return
        if number == lines - 1:
            yield f"{rest[: max(0, _fits(rest, width - font.getlength('…'), font))].rstrip()}…"
            return
        blank = rest.rfind(" ", 1, fitting + 1)
        cut = blank if blank > 0 else max(1, fitting)
        yield rest[:cut]
        rest = rest[cut:].lstrip()


def _fits(text: str, width: float, font: _Font) -> int:
    """Return how many characters from the start of a text fit into a width in pixels."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _font(text: str, size: int) -> _Font:
    """Return a font that has the letters of a text, as far as this computer has one."""
    if any(ord(letter) > 0x24F and letter not in "…–—×·’“”" for letter in text):
        for name in _WIDE_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
