"""`edit` and `inpaint`: what they print, where they write, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from engine.cli.options import parse, request_of
from engine.images.metadata import read_recipe
from engine.images.open import open_picture
from engine.request import Fill, Region, Task
from tests.engine.test_cli import _own_signals as _own_signals
from tests.engine.test_cli import run as run


@pytest.fixture
def pictures(tmp_path):
    """A picture of 80 x 64 pixels, a mask of its left quarter, and masks that are wrong."""
    Image.linear_gradient("L").resize((80, 64)).convert("RGB").save(tmp_path / "in.png")
    Image.linear_gradient("L").resize((75, 50)).convert("RGB").save(tmp_path / "odd.jpg")
    masks = {"mask": ((80, 64), 20), "empty": ((80, 64), 0), "other": ((64, 64), 20)}
    for name, (size, width) in masks.items():
        mask = Image.new("L", size)
        mask.paste(255, (0, 0, width, size[1]))
        mask.save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def small(model: Path, *rest: str) -> list[str]:
    return ["--model", str(model), "--steps", "2", "--seed", "5", *rest]


def pixels(path: Path) -> bytes:
    return open_picture(path).tobytes()


def test_an_edit_writes_a_picture_of_the_inputs_size(run, pictures, tiny_model):
    code, out, errors = run("edit", "a circle", "--image", "in.png", "--strength", "0.5", "--json",
                            "--save-latents", "l.safetensors", "-o", "out.png",
                            *small(tiny_model))  # fmt: skip
    assert (code, [line for line in errors if "error" in line]) == (0, [])
    told = json.loads(out[0])
    assert told["path"] == str(pictures / "out.png")
    assert (told["steps"], told["nfe"], told["outside"]) == (2, 1, None)
    assert open_picture(Path(told["path"])).size == (80, 64)
    assert load_file("l.safetensors")["latents"].shape == (1, 16, 8, 10)
    recipe = read_recipe(pictures / "out.png")
    assert recipe["size"] == [80, 64]
    (name,) = recipe["request"]["images"]
    assert name.startswith("input:")
    assert (recipe["request"]["strength"], recipe["request"]["width"]) == (0.5, None)


def test_a_picture_with_odd_sides_is_edited_at_the_nearest_multiples(run, pictures, tiny_model):
    code, _, errors = run("edit", "x", "--image", "odd.jpg", "-o", "out.png", *small(tiny_model))
    assert code == 0
    assert any("75 x 50 is redrawn at 80 x 64" in line for line in errors)
    assert open_picture(pictures / "out.png").size == (80, 64)


def test_strength_0_gives_the_input_back(run, pictures, tiny_model):
    for command in (["edit"], ["inpaint", "--mask", "mask.png"]):
        code, out, _ = run(*command[:1], "x", *command[1:], "--image", "in.png", "--strength", "0",
                           "--json", "-o", "out.png", *small(tiny_model))  # fmt: skip
        assert (code, json.loads(out[0])["nfe"]) == (0, 0)
        assert pixels(pictures / "out.png") == pixels(pictures / "in.png")


def test_an_inpaint_says_that_nothing_outside_was_changed(run, pictures, tiny_model):
    code, out, errors = run("inpaint", "x", "--image", "in.png", "--mask", "mask.png", "--feather",
                            "3", "--json", "--count", "2", "-o", "out.png",
                            *small(tiny_model))  # fmt: skip
    assert (code, [line for line in errors if "error" in line]) == (0, [])
    assert [json.loads(line)["outside"] for line in out] == [
        {"changed": 0, "pixels": (80 - 23) * 64}
    ] * 2
    before = open_picture(pictures / "in.png").crop((23, 0, 80, 64)).tobytes()
    for name in ("out-1.png", "out-2.png"):
        after = open_picture(pictures / name)
        assert after.crop((23, 0, 80, 64)).tobytes() == before
        assert after.tobytes() != pixels(pictures / "in.png")


def test_a_picture_is_extended_to_any_side(run, pictures, tiny_model):
    code, _, _ = run("inpaint", "x", "--image", "in.png", "--extend", "8,0,24,16", "--feather", "0",
                     "-o", "out.png", *small(tiny_model))  # fmt: skip
    assert code == 0
    after = open_picture(pictures / "out.png")
    assert after.size == (112, 80)
    assert after.crop((8, 0, 88, 64)).tobytes() == pixels(pictures / "in.png")


WRONG = {
    "no picture": (["edit", "x"], "--image"),
    "a picture that is not there": (["edit", "x", "--image", "no.png"], "no.png"),
    "a picture that is none": (["edit", "x", "--image", "text.png"], "no picture"),
    "two pictures for a model that reads none": (
        ["edit", "x", "--image", "in.png", "--image", "in.png"], "omni-base",
    ),
    "four pictures": (["edit", "x", *["--image", "in.png"] * 4], "at most 3"),
    "a strength beyond 1": (["edit", "x", "--image", "in.png", "--strength", "1.5"], "1.5"),
    "a strength that is no number": (["edit", "x", "--image", "in.png", "--strength", "much"],
                                     "much"),
    "no mask": (["inpaint", "x", "--image", "in.png"], "no mask"),
    "a mask without a picture": (["inpaint", "x", "--mask", "mask.png"], "--image"),
    "an empty mask": (["inpaint", "x", "--image", "in.png", "--mask", "empty.png"], "empty"),
    "a mask of another shape": (
        ["inpaint", "x", "--image", "in.png", "--mask", "other.png"], "64 x 64",
    ),
    "a mask that is none": (["inpaint", "x", "--image", "in.png", "--mask", "text.png"], "picture"),
    "a wide feather": (
        ["inpaint", "x", "--image", "in.png", "--mask", "mask.png", "--feather", "65"], "65",
    ),
    "an unknown fill": (
        ["inpaint", "x", "--image", "in.png", "--mask", "mask.png", "--fill", "sand"], "sand",
    ),
    "an extension by three numbers": (
        ["inpaint", "x", "--image", "in.png", "--extend", "1,2,3"], "1,2,3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_ends_with_code_2_and_one_line(case, run, pictures, tiny_model):
    arguments, said = WRONG[case]
    code, out, errors = run(*arguments, "-o", "out.png", *small(tiny_model))
    assert (code, out) == (2, [])
    told = [line for line in errors if line.startswith("error: ")]
    assert len(told) == 1
    assert said in told[0]
    assert not (pictures / "out.png").exists()


def test_every_option_reaches_the_request():
    options = parse(["inpaint", "x", "--image", "a", "--mask", "m", "--strength", "0.5",
                     "--feather", "4", "--fill", "colour", "--fill-colour", "#ff0000", "--soft",
                     "--masked-only", "--context", "9", "--extend", "1,2,3,4", "--region", "dog",
                     "r"])  # fmt: skip
    found = request_of(options)
    assert (found.images, found.mask, found.strength, found.feather) == (("a",), "m", 0.5, 4)
    assert (found.fill, found.fill_colour, found.soft) == (Fill.COLOUR, "#ff0000", True)
    assert (found.masked_only, found.context, found.extend) == (True, 9, (1, 2, 3, 4))
    assert (found.regions, found.task) == ((Region("dog", "r"),), Task.INPAINT)
