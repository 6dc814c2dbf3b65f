"""The history, the queue and earlier prompts in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.ui.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture
def slowly(studio):
    """Hold the painter at its first step until the test lets it go on."""
    studio.go_on.clear()
    yield studio.go_on
    studio.go_on.set()


def paint(tab: Page, prompt: str) -> None:
    tab.locator("#prompt textarea").fill(prompt)
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#results .prompt").first).to_have_text(prompt)
    expect(tab.locator("#generate")).to_be_visible()


def open_history(tab: Page) -> None:
    tab.get_by_role("tab", name="History").click()
    expect(tab.locator("#history-gallery [data-picture] img").first).to_be_visible()


def test_a_picture_is_found_by_its_words_and_gives_back_its_settings(visit: Visit):
    tab = visit()
    paint(tab, "an amber lighthouse")
    paint(tab, "a violet teapot")
    open_history(tab)
    tab.get_by_label("Search").fill("lighthouse")
    cards = tab.locator("#history-gallery [data-picture]")
    expect(cards).to_have_count(1)
    cards.press("Enter")
    expect(tab.locator("#history-picture .prompt")).to_have_text("an amber lighthouse")
    tab.get_by_role("button", name="Use all settings").press("Enter")
    expect(tab.locator("#prompt textarea")).to_be_visible()
    expect(tab.locator("#prompt textarea")).to_have_value("an amber lighthouse")
    expect(tab.locator("#seed textarea, #seed input").first).not_to_have_value("")


def test_a_picture_goes_to_the_trash_and_back_by_keyboard_alone(visit: Visit):
    tab = visit()
    paint(tab, "a copper kettle")
    open_history(tab)
    tab.get_by_label("Search").fill("copper")
    card = tab.locator("#history-gallery [data-picture]")
    expect(card).to_have_count(1)
    card.press("Enter")
    tab.get_by_role("button", name="Move to trash").press("Enter")
    expect(card).to_have_count(0)
    tab.get_by_label("Trash").check()
    expect(card).to_have_count(1)
    card.press("Enter")
    tab.get_by_role("button", name="Take back").press("Enter")
    tab.get_by_label("All", exact=True).check()
    expect(card).to_have_count(1)


def test_jobs_that_wait_are_seen_moved_and_cancelled(visit: Visit, slowly, studio):
    tab = visit()
    tab.locator("#prompt textarea").fill("the first")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#queue summary")).to_have_text("Queue: 1 job")
    tab.locator("#queue summary").press("Enter")
    again = tab.get_by_role("button", name="Once more, with another seed: “the first”")
    again.first.press("Enter")
    expect(tab.locator("#queue li")).to_have_count(2)
    again.first.press("Enter")
    expect(tab.locator("#queue li")).to_have_count(3)
    last = studio.queue.jobs()[2].id
    tab.locator(f'#queue [data-act="up"][data-job="{last}"]').press("Enter")
    expect(tab.locator("#queue li").nth(1).locator(f'[data-job="{last}"]').first).to_be_attached()
    for job in studio.queue.jobs()[1:]:
        tab.locator(f'#queue [data-act="cancel"][data-job="{job.id}"]').press("Enter")
    expect(tab.locator("#queue li")).to_have_count(1)
    slowly.set()
    expect(tab.locator("#queue summary")).to_have_count(0)


def test_the_queue_appears_over_the_page_and_covers_no_button(visit: Visit, slowly):
    tab = visit()
    place = "document.querySelector('[role=tablist]').getBoundingClientRect().top"
    before = tab.evaluate(place)
    tab.locator("#prompt textarea").fill("a slow one")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#queue summary")).to_be_visible()
    assert tab.evaluate(place) == before
    tab.set_viewport_size({"width": 390, "height": 844})
    panel, cancel = tab.locator("#queue").bounding_box(), tab.locator("#cancel").bounding_box()
    assert panel["y"] + panel["height"] <= cancel["y"]
    tab.locator("#queue summary").click()
    expect(tab.locator("#queue li")).to_be_visible()


def test_arrow_keys_bring_back_earlier_prompts(visit: Visit):
    tab = visit()
    for prompt in ("one grey goose", "two grey geese"):
        paint(tab, prompt)
    again = visit()
    box = again.locator("#prompt textarea")
    expect(again.locator("#earlier [data-prompts]")).to_be_attached()
    box.fill("draft")
    box.press("Home")
    box.press("ArrowUp")
    expect(box).to_have_value("two grey geese")
    box.press("ArrowUp")
    expect(box).to_have_value("one grey goose")
    box.press("ArrowDown")
    box.press("ArrowDown")
    expect(box).to_have_value("draft")


@pytest.mark.parametrize("width", [390, 820, 1366])
def test_nothing_is_wider_than_the_screen(visit: Visit, width: int):
    tab = visit()
    paint(tab, "a wide " + "landscape" * 20)
    tab.set_viewport_size({"width": width, "height": 900})
    open_history(tab)
    tab.locator("#history-gallery [data-picture]").first.click()
    expect(tab.locator("#history-picture figure")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
