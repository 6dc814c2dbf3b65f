"""Every control that has an effect has one: what is changed in a request changes the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from engine import Request
from engine.request import Fill, Lora, Region
from tests.engine.test_run_adapters import write_lora

GENERATE = {
    "prompt": "a blue square",
    "negative": "a red circle",
    "seed": 8,
    "steps": 5,
    "guidance_scale": 2.0,
    "shift": 2.0,
    "width": 80,
    "height": 80,
    "count": 2,
    "cfg_normalization": 0.5,
    "cfg_truncation": 0.1,
    "step_cache": 1.0,
    "precision": "bf16",
    "model": "OTHER",
    "loras": "LORA",
    "long_prompt": "full",
}
REDRAW = {**GENERATE, "images": "OTHER", "strength": 0.4}
INPAINT = {
    **REDRAW,
    "mask": "OTHER",
    "feather": 0,
    "fill": Fill.COLOUR,
    "fill_colour": "#ff0000",
    "soft": True,
    "masked_only": True,
    "context": 0,
    "extend": (0, 0, 16, 0),
    "regions": "REGION",
}
NEEDS = {
    "fill_colour": {"fill": Fill.COLOUR},
    "context": {"masked_only": True},
    "long_prompt": {"prompt": "word " * 600},
    "step_cache": {"steps": 30, "strength": 1.0},
    # At strength 1 nothing of what lies under the mask is left after the first step.
    "fill": {"strength": 0.6},
    "cfg_normalization": {"guidance_scale": 5.0},
}
"""What else a control needs to have an effect."""
NOT_OF_THE_PICTURE = {
    "device": "the same picture everywhere",
    "sampler": "there is one",
    "lora_partial": "a leave, not a way of painting",
    "variant": "the file says",
    "task": "follows from the pictures",
}
TASKS = {"generate": GENERATE, "redraw": REDRAW, "inpaint": INPAINT}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two photographs, a grey mask in the middle of each, and one in a corner."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colours in {"one": ("teal", "gold"), "two": ("navy", "pink")}.items():
        picture = Image.new("RGB", (96, 96), colours[0])
        ImageDraw.Draw(picture).ellipse((20, 30, 70, 80), fill=colours[1])
        picture.save(folder / f"{name}.png")
    for name, box in {"mask": (32, 32, 71, 71), "wide": (16, 16, 79, 79)}.items():
        mask = Image.new("L", (96, 96), 0)
        ImageDraw.Draw(mask).rectangle(box, fill=160)
        mask.save(folder / f"{name}.png")
    corner = Image.new("L", (96, 96), 0)
    ImageDraw.Draw(corner).rectangle((32, 32, 50, 71), fill=255)
    corner.save(folder / "corner.png")
    return folder


@pytest.fixture
def ask(other_model, pictures):
    """Make a request of a task, with guidance, at the smallest size."""

    def make(task: str, **changes: object) -> Request:
        values: dict[str, object] = {
            "prompt": "a red circle", "model": str(other_model), "seed": 7, "steps": 4,
            "width": 64, "height": 64, "guidance_scale": 3.0,
        }  # fmt: skip
        if task != "generate":
            values |= {"images": (str(pictures / "one.png"),), "width": None, "height": None}
        if task == "inpaint":
            values |= {"mask": str(pictures / "mask.png")}
        return Request(**{**values, **changes})

    return make


def value_of(control: str, value: object, pictures: Path, tiny_model: Path) -> object:
    """Return what a control is set to, where it is a file of this test."""
    files = {
        "model": str(tiny_model),
        "images": (str(pictures / "two.png"),),
        "mask": str(pictures / "wide.png"),
        "regions": (Region("a blue square", str(pictures / "corner.png")),),
        "loras": (Lora(str(pictures / "lora.safetensors"), 1.5),),
    }
    return files[control] if isinstance(value, str) and value.isupper() else value


@pytest.mark.parametrize(
    ("task", "control"), [(task, name) for task, controls in TASKS.items() for name in controls]
)
def test_a_control_changes_the_picture(bench, ask, pictures, tiny_model, task, control):
    write_lora(pictures / "lora.safetensors")
    value = value_of(control, TASKS[task][control], pictures, tiny_model)
    before = ask(task, **NEEDS.get(control, {}))
    same = bench.paint(before) == bench.paint(before.with_values(**{control: value}))
    assert not same


def test_no_control_is_left_out():
    assert set(INPAINT) | set(NOT_OF_THE_PICTURE) == set(Request(prompt="").to_json())
