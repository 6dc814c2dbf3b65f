"""What is done follows from the pictures of a request and from what the model can."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadRequest
from engine.request import Region, Request, Task
from engine.tasks.kind import decide_task, intention
from engine.variants import VARIANTS, Variant, by_name

TURBO, OMNI = by_name("turbo"), by_name("omni-base")


def wanting(**values: Any) -> Request:
    return Request(prompt="a red circle", **values)


@pytest.mark.parametrize(
    ("values", "variant", "expected"),
    [
        ({}, TURBO, Task.GENERATE),
        ({}, OMNI, Task.GENERATE),
        ({"images": ("a.png",)}, TURBO, Task.REDRAW),
        ({"images": ("a.png",)}, OMNI, Task.EDIT),
        ({"images": ("a.png", "b.png", "c.png")}, OMNI, Task.EDIT),
        ({"images": ("a.png",), "task": "redraw"}, OMNI, Task.REDRAW),
        ({"images": ("a.png",), "mask": "m.png"}, TURBO, Task.INPAINT),
        ({"images": ("a.png",), "mask": "m.png"}, OMNI, Task.INPAINT),
        ({"images": ("a.png",), "extend": (0, 0, 16, 0)}, TURBO, Task.INPAINT),
        ({"images": ("a.png",), "regions": (Region("a dog", "m.png"),)}, TURBO, Task.INPAINT),
        ({"images": ("a.png",), "mask": "m.png", "task": "inpaint"}, TURBO, Task.INPAINT),
    ],
)
def test_the_task_follows_from_the_pictures(
    values: dict[str, Any], variant: Variant, expected: Task
) -> None:
    assert decide_task(wanting(**values), variant) is expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"images": ("a.png", "b.png")}, "omni-base"),
        ({"images": ("a.png", "b.png"), "mask": "m.png"}, "not with 2"),
        ({"images": ("a.png",), "task": "edit"}, "demo-omni or omni-base or edit"),
        ({"images": ("a.png",), "task": "inpaint"}, "no mask"),
        ({"images": ("a.png",), "task": "generate"}, "takes no pictures"),
        ({"images": ("a.png",), "mask": "m.png", "task": "redraw"}, "takes no mask"),
        ({"task": "redraw"}, "task redraw needs a picture"),
        ({"mask": "m.png"}, "mask needs a picture"),
        ({"extend": (1, 0, 0, 0)}, "extension needs a picture"),
    ],
)
def test_a_task_that_cannot_be_done_says_what_would_help(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decide_task(wanting(**values), TURBO)
    assert said in str(caught.value)
    assert caught.value.action


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_intention_is_one_line_of_its_own(variant: Variant) -> None:
    picture: dict[str, Any] = {"images": ("a.png",)}
    mask: dict[str, Any] = {"mask": "m.png"}
    wishes: list[dict[str, Any]] = [
        {},
        picture,
        picture | mask,
        picture | {"extend": (0, 16, 0, 0)},
        picture | mask | {"extend": (0, 16, 0, 0)},
    ]
    lines = [intention(wanting(**wish), variant) for wish in wishes]
    assert len(set(lines)) == len(lines)
    assert all(line and "\n" not in line for line in lines)


def test_the_intention_says_why_a_model_that_cannot_edit_redraws() -> None:
    said = intention(wanting(images=("a.png",)), TURBO)
    assert "cannot follow an instruction" in said
    assert TURBO.title in said
    forced = intention(wanting(images=("a.png",), task=Task.REDRAW), OMNI)
    assert "cannot" not in forced
