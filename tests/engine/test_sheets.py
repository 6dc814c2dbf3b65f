"""Contact sheets: every picture in its place, and a reason where there is none."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from engine import BadRequest, Cell, DiskError, Sheet
from engine.images.contact import MAX_PIXELS, draw_sheet, save_sheet
from engine.images.open import open_picture
from engine.sheets import MAX_CELLS


@pytest.fixture
def picture(tmp_path):
    """Make a picture file of one colour."""

    def make(colour: str, size: tuple[int, int] = (64, 64)):
        path = tmp_path / f"{colour}.png"
        Image.new("RGB", size, colour).save(path)
        return path

    return make


def reds(image: Image.Image) -> list[tuple[int, int]]:
    """Where pure red begins and ends, as corners of its box."""
    mask = image.convert("RGB").point(lambda value: value)
    found = [(x, y) for x in range(mask.width) for y in range(mask.height)
             if mask.getpixel((x, y)) == (255, 0, 0)]  # fmt: skip
    return [min(found), max(found)]


def test_cells_stand_row_by_row(picture):
    others = [Cell(picture=picture("lime")) for _ in range(5)]
    first = draw_sheet(Sheet(cells=(Cell(picture=picture("red")), *others), columns=3, side=32))
    last = draw_sheet(Sheet(cells=(*others, Cell(picture=picture("red"))), columns=3, side=32))
    assert first.size == last.size
    (left, top), (right, bottom) = reds(first)
    assert (right - left, bottom - top) == (31, 31)
    (later, below), _ = reds(last)
    assert later > right + 32 and below > bottom


def test_a_picture_keeps_its_proportions_and_is_not_blown_up(picture):
    wide = draw_sheet(Sheet(cells=(Cell(picture=picture("red", (200, 50))),), side=100))
    (left, top), (right, bottom) = reds(wide)
    assert (right - left + 1, bottom - top + 1) == (100, 25)
    small = draw_sheet(Sheet(cells=(Cell(picture=picture("red", (20, 10))),), side=100))
    (left, top), (right, bottom) = reds(small)
    assert (right - left + 1, bottom - top + 1) == (20, 10)


def test_a_missing_picture_says_why(tmp_path):
    gone = Cell(picture=tmp_path / "gone.png")
    silent = draw_sheet(Sheet(cells=(Cell(),)))
    said = draw_sheet(Sheet(cells=(Cell(problem="The card failed."),)))
    found = draw_sheet(Sheet(cells=(gone,)))
    assert silent.tobytes() != said.tobytes()
    assert silent.tobytes() != found.tobytes()


@pytest.mark.parametrize(
    "named",
    [
        {"title": "Seeds"},
        {"column_names": ("1", "2")},
        {"row_names": ("a",)},
    ],
)
def test_every_name_is_written(named):
    cells = (Cell(), Cell())
    plain = draw_sheet(Sheet(cells=cells, columns=2))
    written = draw_sheet(Sheet(cells=cells, columns=2, **named))
    assert written.tobytes() != plain.tobytes()
    assert written.size != plain.size


def test_a_label_without_end_stays_in_its_place():
    short = draw_sheet(Sheet(cells=(Cell(label="a"), Cell(label="b")), columns=2))
    text = "word " * 10_000 + "W" * 10_000
    long = draw_sheet(Sheet(cells=(Cell(label=text), Cell(label="b")), columns=2))
    assert long.size == short.size
    half = (long.width // 2 + 6, 0, long.width, long.height)
    assert long.crop(half).tobytes() == short.crop(half).tobytes()


def test_labels_of_any_script_are_written():
    plain = draw_sheet(Sheet(cells=(Cell(label=" "),)))
    for label in ("一只猫", "кошка", "🐈", "\u202egnp.exe", "a\0b\nc"):
        assert draw_sheet(Sheet(cells=(Cell(label=label),))).size == plain.size


def test_a_sheet_of_very_many_stays_within_its_pixels():
    sheet = Sheet(cells=tuple(Cell(label="x") for _ in range(MAX_CELLS)), side=512)
    drawn = draw_sheet(sheet)
    assert drawn.width * drawn.height <= MAX_PIXELS
    assert drawn.width * drawn.height > MAX_PIXELS / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": ()},
        {"cells": (Cell(),) * (MAX_CELLS + 1)},
        {"cells": (Cell(),), "columns": -1},
        {"cells": (Cell(),), "side": 15},
        {"cells": (Cell(),) * 4, "columns": 2, "column_names": ("a",)},
        {"cells": (Cell(),) * 4, "columns": 2, "row_names": ("a", "b", "c")},
    ],
)
def test_a_sheet_that_cannot_be_is_refused(wrong):
    with pytest.raises(BadRequest):
        Sheet(**wrong)


@pytest.mark.parametrize(("name", "kind"), [("s.png", "PNG"), ("s.JPG", "JPEG")])
def test_a_sheet_is_saved_as_its_name_says(tmp_path, picture, name, kind):
    save_sheet(Sheet(cells=(Cell(picture=picture("red")),)), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert Image.open(io.BytesIO(data)).format == kind
    assert open_picture(data).width > 64


def test_a_sheet_that_cannot_be_saved_leaves_nothing(tmp_path, picture):
    sheet = Sheet(cells=(Cell(picture=picture("red")),))
    with pytest.raises(BadRequest, match=r"sheet\.gif"):
        save_sheet(sheet, tmp_path / "sheet.gif")
    with pytest.raises(DiskError):
        save_sheet(sheet, tmp_path / "none" / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["red.png"]
