"""What the Inpaint tab answers, without a browser."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from engine import NotFound, Region, Request
from tests.ui.building import handlers_of
from ui import bindings
from ui.painter_strings import outside
from ui.tabs.inpaint_handlers import InpaintHandlers


@pytest.fixture
def inpaint(demo) -> InpaintHandlers:
    return handlers_of(demo, InpaintHandlers)


@pytest.fixture
def kept(engine, tmp_path):
    """Keep a grey picture of some size and return its name."""

    def keep(shade: int) -> str:
        path = tmp_path / f"{shade}.png"
        Image.new("L", (64, 48), shade).save(path)
        return engine.keep_input(path)

    return keep


def shown(inpaint: InpaintHandlers, request: Request) -> dict:
    return inpaint.given_back(request)[inpaint.painter.mask]["picture"]


def test_a_request_comes_back_with_its_picture_its_masks_and_its_extension(inpaint, kept):
    regions = (Region("a hat", kept(2)), Region("a cat", kept(3)))
    request = Request(
        prompt="x", images=(kept(0),), mask=kept(1), regions=regions, extend=(16, 0, 0, 32)
    )
    picture = shown(inpaint, request)
    assert picture["name"] == request.images[0]
    assert [mask["prompt"] for mask in picture["masks"]] == ["", "a hat", "a cat"]
    assert picture["extend"] == [16, 0, 0, 32]


def test_four_masks_with_prompts_leave_no_colour_for_a_fifth(inpaint, kept):
    regions = tuple(Region(f"prompt {i}", kept(i)) for i in range(1, 5))
    picture = shown(inpaint, Request(prompt="x", images=(kept(0),), mask=kept(9), regions=regions))
    assert [mask["prompt"] for mask in picture["masks"]] == [one.prompt for one in regions]


def test_a_picture_that_is_named_by_a_path_is_not_shown(inpaint, tmp_path):
    path = tmp_path / "private.png"
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(NotFound, match="not kept here"):
        inpaint.given_back(Request(prompt="x", images=(str(path),)))


def test_a_request_without_pictures_leaves_the_canvas_as_it_is(inpaint):
    updates = inpaint.given_back(Request(prompt="x", feather=3))
    assert inpaint.painter.mask not in updates
    assert updates[inpaint.repaint.feather]["value"] == 3
    assert updates[inpaint.repaint.strength]["value"] == 1.0


@pytest.mark.parametrize(
    ("picture", "painted", "extended", "told"),
    [
        (False, False, False, ""),
        (True, False, False, "Paint over what should change"),
        (True, True, False, "Repaints the mask only"),
        (True, False, True, "Extends the picture"),
        (True, True, True, "Repaints the mask and extends the picture"),
    ],
)
def test_the_tab_says_what_it_will_do(inpaint, picture, painted, extended, told):
    event = SimpleNamespace(picture=picture, painted=painted, extended=extended)
    said = inpaint.intend(event, "demo-turbo")
    assert told in said
    assert bool(said) == bool(told)


def test_an_empty_canvas_gives_no_mask():
    request = bindings.read({"prompt": "x", "mask": "", "images": "", "extend": "[0,0,0,0]"})
    assert (request.mask, request.images, request.extend) == (None, (), (0, 0, 0, 0))


def test_what_became_of_the_rest_of_the_picture_is_said_plainly():
    assert outside(0, 14330) == "Nothing outside the mask changed (14,330 pixels)"
    assert outside(7, 14330) == "7 of 14,330 outside pixels changed"
