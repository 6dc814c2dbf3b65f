"""Batches: which pictures a folder holds, and where each result goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import (
    CONTACT_SHEET,
    BadRequest,
    NotFound,
    Request,
    SheetPlan,
    list_pictures,
    plan_batch,
)

STEPS = (
    Request(prompt="make it red", images=("base", "reference"), count=4, width=128, height=64),
    Request(prompt="add a hat", images=("between",)),
)


def test_a_folder_gives_its_pictures_by_name(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.webp", "d.jpeg", "notes.txt", ".hidden.png", CONTACT_SHEET):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.jpg", "b.PNG", "c.webp", "d.jpeg"]


@pytest.mark.parametrize("name", ["none", "file.png"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file.png").touch()
    with pytest.raises(NotFound, match=name):
        list_pictures(tmp_path / name)


def test_a_folder_of_another_computer_is_not_asked_for():
    with pytest.raises(NotFound):
        list_pictures(Path("//server/share"))


def test_each_picture_takes_the_place_of_the_first_and_makes_one(tmp_path):
    plan = plan_batch([tmp_path / "cat.jpg"], STEPS, tmp_path / "out", ".png", "sheet.jpg")
    first, second = plan.items[0].steps
    assert first.images == (str(tmp_path / "cat.jpg"), "reference")
    assert (first.count, first.width, first.height) == (1, 128, 64)
    assert second == STEPS[1]
    assert plan.items[0].label == "cat.jpg"
    assert plan.sheet == SheetPlan(folder=tmp_path / "out", name="sheet.jpg")


def test_no_result_takes_the_place_of_another(tmp_path):
    pictures = [tmp_path / name for name in ("a/cat.jpg", "b/CAT.png", "c/cat.webp", "sheet.png")]
    plan = plan_batch(pictures, STEPS[:1], tmp_path, ".jpg", "sheet.jpg")
    names = [item.output.name for item in plan.items]
    assert names == ["cat.jpg", "CAT-2.jpg", "cat-3.jpg", "sheet-2.jpg"]
    assert {item.output.folder for item in plan.items} == {tmp_path}


def test_no_result_takes_the_place_of_the_picture_it_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = [Path("Cat.png"), tmp_path / "dog.jpg", tmp_path / "elsewhere/fox.png"]
    plan = plan_batch(pictures, STEPS[:1], tmp_path, ".png", None)
    assert [item.output.name for item in plan.items] == ["Cat-2.png", "dog.png", "fox.png"]


def test_a_sheet_can_be_left_out(tmp_path):
    plan = plan_batch([tmp_path / "a.png"], STEPS[:1], tmp_path, ".png", None)
    assert plan.sheet is None


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_none_or_too_many_is_refused(tmp_path, count):
    with pytest.raises(BadRequest):
        plan_batch([tmp_path / "a.png"] * count, STEPS[:1], tmp_path, ".png", None)
