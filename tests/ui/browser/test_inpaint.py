"""The Inpaint tab in a real browser, over an engine that draws hills."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine import Request, read_recipe, request_from_recipe
from tests.ui.browser.conftest import Visit, reload
from tests.ui.browser.painting import Hand, picture, same, stroke
from tests.ui.browser.test_page import CONTRAST

pytestmark = pytest.mark.browser

CORNERS = ((0.4, 0.3), (0.6, 0.35), (0.5, 0.7))
SIZE = (640, 480)


@pytest.fixture
def hand(visit: Visit, studio) -> Hand:
    tab = visit()
    open_tab(tab)
    return Hand(tab, studio.settings.data_dir / "inputs")


def open_tab(tab: Page, name: str = "Inpaint") -> None:
    tab.get_by_role("tab", name=name, exact=True).click()


def repaint(hand: Hand, studio, prompt: str = "a blue star") -> Request:
    """Press Ctrl+Enter, wait for the picture, and return what the engine was asked for."""
    before = set(studio.settings.output_folder.rglob("*.png"))
    hand.tab.locator("#inpaint-prompt textarea").fill(prompt)
    hand.tab.keyboard.press("Control+Enter")
    expect(hand.tab.locator("#inpaint-results .prompt").first).to_have_text(prompt)
    expect(hand.tab.locator("#inpaint-generate")).to_be_visible()
    (made,) = set(studio.settings.output_folder.rglob("*.png")) - before
    return request_from_recipe(read_recipe(made))[0]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "photo.png", SIZE)


def test_what_is_painted_becomes_a_job(hand: Hand, studio, photo):
    hand.open(photo)
    expect(hand.tab.locator("#inpaint-intention")).to_contain_text("Paint over what should change")
    points = hand.drag(hand.inside(*CORNERS))
    expect(hand.tab.locator("#inpaint-intention")).to_contain_text("Repaints the mask only")
    asked = repaint(hand, studio)
    same(hand.read(asked.mask), stroke(SIZE, points, 64))
    (name,) = asked.images
    assert hand.bytes_of(name) == photo.read_bytes()
    assert (asked.task, asked.strength, asked.feather) == ("inpaint", 1.0, 8)
    assert (asked.regions, asked.extend) == ((), (0, 0, 0, 0))


def test_every_control_reaches_the_engine(hand: Hand, studio, photo):
    hand.open(photo)
    hand.drag(hand.inside(*CORNERS))
    tab = hand.tab
    tab.locator("#inpaint-strength input[type=number]").fill("0.55")
    tab.locator("#inpaint-feather input[type=number]").fill("21")
    expect(tab.locator("#inpaint-fill-colour")).to_be_hidden()
    tab.get_by_role("radio", name="A colour").check()
    tab.locator("#inpaint-fill-colour input").fill("#12ab9f")
    tab.get_by_role("checkbox", name="Only the masked part").check()
    tab.locator("#inpaint-context input").fill("77")
    tab.get_by_role("checkbox", name="Soft inpainting").check()
    tab.locator("[data-field=prompt]").fill("a hat")
    tab.get_by_text("Extend the picture").click()
    tab.locator("[data-field=top]").fill("48")
    asked = repaint(hand, studio, "a red heart")
    assert (asked.strength, asked.feather, asked.fill) == (0.55, 21, "colour")
    assert (asked.fill_colour, asked.masked_only, asked.context) == ("#12ab9f", True, 77)
    assert (asked.soft, asked.extend) == (True, (0, 48, 0, 0))
    assert [region.prompt for region in asked.regions] == ["a hat"]
    assert asked.regions[0].mask == asked.mask


def test_the_mask_survives_other_tabs_and_a_reload(hand: Hand, studio, photo, complaints):
    hand.open(photo)
    points = hand.drag(hand.inside(*CORNERS))
    open_tab(hand.tab, "Generate")
    open_tab(hand.tab, "Inpaint")
    same(hand.read(repaint(hand, studio).mask), stroke(SIZE, points, 64))
    reload(hand.tab, complaints)
    open_tab(hand.tab)
    expect(hand.tab.locator("[data-share]")).to_contain_text("% painted")
    same(hand.read(repaint(hand, studio, "after the reload").mask), stroke(SIZE, points, 64))


def test_a_result_is_sent_to_the_canvas(visit: Visit, studio):
    tab = visit()
    tab.locator("#prompt textarea").fill("a red heart")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#results figure").first).to_be_visible()
    tab.locator("#results figure:visible").get_by_role("button", name="Inpaint").click()
    expect(tab.locator("[data-share]")).to_contain_text("128 × 128")
    hand = Hand(tab, studio.settings.data_dir / "inputs")
    expect(tab.locator("input[type=number][data-field=size]")).to_have_value("8")
    points = hand.drag(hand.inside(*CORNERS))
    asked = repaint(hand, studio)
    same(hand.read(asked.mask), stroke((128, 128), points, 8))
    made = [path.read_bytes() for path in studio.settings.output_folder.rglob("*.png")]
    assert hand.bytes_of(asked.images[0]) in made


def test_all_settings_of_a_picture_come_back_with_its_mask(hand: Hand, studio, photo, tmp_path):
    hand.open(photo)
    first = hand.drag(hand.inside((0.45, 0.4), (0.55, 0.4)))
    hand.tab.locator("[data-layer='1']").click()
    hand.tab.locator("[data-field=prompt]").fill("a hat")
    second = hand.drag(hand.inside((0.45, 0.7), (0.55, 0.7)))
    hand.tab.locator("#inpaint-feather input[type=number]").fill("3")
    asked = repaint(hand, studio)
    hand.act("remove")
    hand.open(picture(tmp_path / "other.png", (64, 64)), "64 × 64")
    hand.tab.locator("#inpaint-feather input[type=number]").fill("9")
    figure = hand.tab.locator("#inpaint-results figure:visible")
    figure.get_by_role("button", name="Reuse all settings").click()
    expect(hand.tab.locator("[data-share]")).to_contain_text("640 × 480")
    expect(hand.tab.locator("[data-layer='1']")).to_have_class("colour used")
    expect(hand.tab.locator("#inpaint-feather input[type=number]")).to_have_value("3")
    again = repaint(hand, studio, "once more")
    assert again.images == asked.images
    same(hand.read(again.mask), stroke(SIZE, first, 64) | stroke(SIZE, second, 64))
    assert [region.prompt for region in again.regions] == ["a hat"]
    assert np.array_equal(hand.read(again.regions[0].mask), stroke(SIZE, second, 64) * 255)


def test_a_recipe_that_names_a_file_of_the_computer_shows_nothing_of_it(
    hand: Hand, studio, photo, tmp_path
):
    hand.open(photo)
    hand.drag(hand.inside(*CORNERS))
    repaint(hand, studio)
    made = max(studio.settings.output_folder.rglob("*.png"), key=lambda p: p.stat().st_mtime_ns)
    recipe = read_recipe(made)
    recipe["request"]["images"] = [str(photo)]
    forged = tmp_path / "forged.png"
    write_recipe(forged, recipe)
    hand.act("remove")
    hand.tab.locator("#inpaint-restore button").click()
    hand.tab.locator("#inpaint-restore input[type=file]").set_input_files(forged)
    expect(hand.tab.locator("#inpaint-dropped")).to_contain_text("Restored")
    expect(hand.tab.locator("#inpaint-painter .drop")).to_be_visible()


def write_recipe(path: Path, recipe: dict) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_itxt("recipe", json.dumps(recipe))
    Image.new("RGB", (64, 64)).save(path, pnginfo=texts)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(hand: Hand, photo, scheme):
    hand.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    hand.open(photo)
    hand.drag(hand.inside(*CORNERS))
    for summary in hand.tab.locator("#inpaint-painter summary").all():
        summary.click()
    hand.tab.wait_for_timeout(300)
    assert hand.tab.evaluate(CONTRAST) == []


def test_a_phone_needs_no_sideways_scrolling(hand: Hand, photo):
    hand.open(photo)
    for width in (820, 390):
        hand.tab.set_viewport_size({"width": width, "height": 844})
        hand.settle()
        assert hand.tab.evaluate("document.documentElement.scrollWidth") <= width
    for button in hand.tab.locator("#inpaint-painter button.sign:visible").all():
        assert button.bounding_box()["height"] >= 44
