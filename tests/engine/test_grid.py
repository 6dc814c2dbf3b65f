"""X/Y grids: which requests they are made of, and what cannot be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import BadRequest, StudioError
from engine.presets import Presets
from engine.request import MAX_SEED, Lora, Request
from engine.service.grid import GRID_PARAMETERS, MAX_CELLS, MAX_VALUES, Axis, labels_of, plan_grid

BASE = Request(
    prompt="a red hat",
    seed=5,
    count=4,
    width=128,
    height=96,
    images=("a.png",),
    loras=(Lora("ink"), Lora("oil", 0.5)),
)
FOLDER = Path("sheets")
VALUES = {
    "seed": "1, 2", "steps": "4, 8", "guidance_scale": "0, 2.5", "words": "red, blue",
    "lora_weight": "0, -1.5", "size": "64x128, 128 × 64", "model": "base, turbo",
    "sampler": "euler, heun", "shift": "1, 3", "cfg_normalization": "0, 1",
    "style": "none, Macro",
    "cfg_truncation": "0.5, 1", "step_cache": "0, 0.1", "strength": "0.2, 1", "feather": "0, 8",
}  # fmt: skip


NOTHING = Axis()


def requests(x, y=NOTHING, base=BASE):
    return [item.steps[0] for item in plan_grid(base, x, y, FOLDER).items]


def test_a_grid_goes_row_by_row_and_shares_one_seed():
    plan = plan_grid(BASE, Axis("steps", "4, 8"), Axis("words", "red,blue,green"), FOLDER)
    painted = [item.steps[0] for item in plan.items]
    assert [(one.prompt, one.steps) for one in painted] == [
        ("a red hat", 4), ("a red hat", 8), ("a blue hat", 4), ("a blue hat", 8),
        ("a green hat", 4), ("a green hat", 8),
    ]  # fmt: skip
    assert {one.seed for one in painted} == {5}
    assert {one.count for one in painted} == {1}
    assert [item.label for item in plan.items[:3]] == [
        "steps 4 · “red”", "steps 8 · “red”", "steps 4 · “blue”",
    ]  # fmt: skip


def test_the_sheet_names_columns_and_rows():
    sheet = plan_grid(BASE, Axis("steps", "4, 8"), Axis("seed", "1..3"), FOLDER).sheet
    assert sheet.columns == 2
    assert sheet.column_names == ("steps 4", "steps 8")
    assert sheet.row_names == ("seed 1", "seed 2", "seed 3")
    assert (sheet.folder, sheet.title, sheet.side) == (FOLDER, "a red hat", 128)


def test_one_side_may_change_nothing():
    plan = plan_grid(BASE, Axis("seed", "3, 4, 5"), Axis(), FOLDER)
    assert [item.steps[0].seed for item in plan.items] == [3, 4, 5]
    assert plan.sheet.row_names == ()


@pytest.mark.parametrize("parameter", GRID_PARAMETERS)
def test_every_parameter_changes_the_request_and_nothing_else(parameter):
    first, second = requests(Axis(parameter, VALUES[parameter]))
    assert first != second
    names = {
        "words": {"prompt"},
        "lora_weight": {"loras"},
        "size": {"width", "height"},
        "style": {"prompt", "negative"},
    }
    changed = {n for n in first.to_json() if first.to_json()[n] != second.to_json()[n]}
    assert changed == names.get(parameter, {parameter})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1..4", [1, 2, 3, 4]),
        ("2..8:3", [2, 5, 8]),
        ("2..8:4", [2, 6]),
        ("1, 3..4,9", [1, 3, 4, 9]),
        ("7..7", [7]),
        ("1,,2,\n3", [1, 2, 3]),
    ],
)
def test_numbers_may_be_written_as_ranges(text, numbers):
    assert [one.steps for one in requests(Axis("steps", text))] == numbers


def test_ranges_may_be_of_the_largest_seeds():
    largest = [*range(MAX_SEED - 2, MAX_SEED + 1)]
    text = f"{largest[0]}..{MAX_SEED}"
    assert [one.seed for one in requests(Axis("seed", text))] == largest
    assert labels_of(Axis("seed", "123456789012345..123456789012346")) == (
        "seed 123456789012345",
        "seed 123456789012346",
    )


def test_ranges_may_be_of_fractions():
    scales = [one.guidance_scale for one in requests(Axis("guidance_scale", "0..1:0.25"))]
    assert scales == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        (Axis("steps", ""), "0 values"),
        (Axis("steps", " , "), "0 values"),
        (Axis("steps", "eight"), "no number"),
        (Axis("steps", "8.5"), "no number"),
        (Axis("steps", "0"), "number of steps"),
        (Axis("steps", "5..1"), "no values"),
        (Axis("steps", "1..9:0"), "no values"),
        (Axis("steps", "1..999999999999"), "too many"),
        (Axis("steps", ",".join(["1"] * (MAX_VALUES + 1))), f"{MAX_VALUES + 1} values"),
        (Axis("guidance_scale", "nan"), "guidance"),
        (Axis("guidance_scale", "1e999"), "guidance"),
        (Axis("size", "wide"), "no size"),
        (Axis("size", "100x100"), "multiple"),
        (Axis("words", "blue, green"), "does not hold 'blue'"),
        (Axis("lora_weight", "9"), "weight"),
        (Axis("lora_weight", "heavy"), "no number"),
        (Axis("__class__", "1"), "cannot change"),
        (Axis("images", "/etc/passwd"), "cannot change"),
        (Axis("", "1"), "Nothing changes"),
        (Axis("style", "No Such"), "no style 'No Such'"),
    ],
)
def test_what_cannot_be_a_grid_is_refused_in_a_sentence(axis, said):
    with pytest.raises(StudioError, match=said):
        plan_grid(BASE, axis, Axis(), FOLDER)


def test_both_sides_must_differ_and_all_must_not_be_too_many():
    with pytest.raises(BadRequest, match="two different"):
        plan_grid(BASE, Axis("seed", "1"), Axis("seed", "2"), FOLDER)
    with pytest.raises(BadRequest, match=f"more than {MAX_CELLS}"):
        plan_grid(BASE, Axis("seed", "1..20"), Axis("steps", "1..20"), FOLDER)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_style_goes_around_the_words_of_the_other_side(swapped):
    sides = [Axis("style", "None; Oil, old masters"), Axis("words", "hat, shoe")]
    plan = plan_grid(BASE, *(sides[::-1] if swapped else sides), FOLDER)
    oil = Presets().style("Oil, old masters")
    wanted = {"a red hat", "a red shoe", oil.apply("a red hat"), oil.apply("a red shoe")}
    assert {item.steps[0].prompt for item in plan.items} == wanted


@pytest.mark.parametrize("parameter", ["strength", "feather"])
def test_what_only_a_picture_uses_needs_one(parameter):
    with pytest.raises(BadRequest, match=f"The {parameter} changes nothing without a picture"):
        requests(Axis(parameter, "1"), base=BASE.with_values(images=()))


def test_styles_of_the_user_may_be_named(tmp_path):
    folder = tmp_path / "presets" / "styles"
    folder.mkdir(parents=True)
    mine = {"group": "Mine", "styles": [{"title": "Fog", "prompt": "{prompt} in fog"}]}
    (folder / "mine.json").write_text(json.dumps(mine))
    (item,) = plan_grid(BASE, Axis("style", "Fog"), Axis(), FOLDER, Presets(tmp_path)).items
    assert item.steps[0].prompt == "a red hat in fog"


def test_values_with_commas_have_semicolons_between():
    assert labels_of(Axis("words", "a, b; c")) == ("“a, b”", "“c”")


def test_a_weight_needs_a_lora():
    with pytest.raises(BadRequest, match="no LoRA"):
        requests(Axis("lora_weight", "1"), base=BASE.with_values(loras=()))


def test_labels_need_no_request():
    assert labels_of(Axis("words", "a, b")) == ("“a”", "“b”")
    assert labels_of(Axis()) == ("",)
