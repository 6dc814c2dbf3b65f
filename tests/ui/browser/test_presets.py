"""Styles, word lists, presets and grids, in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.browser.conftest import reload

pytestmark = pytest.mark.browser


def choose(tab, picker, name):
    """Pick an entry as one does by keyboard: type a part of it, take the first."""
    tab.locator(f"#{picker} input").click()
    tab.keyboard.type(name)
    expect(tab.get_by_role("option")).to_have_count(1)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("listbox")).to_have_count(0)
    expect(tab.locator(f"#{picker} input")).to_have_value(re.compile(re.escape(name)))


def test_a_style_is_found_by_typing_and_painted_with(visit):
    tab = visit()
    tab.fill("#prompt textarea", "a red heart")
    expect(tab.locator("#reading")).to_contain_text("of 512 tokens")
    choose(tab, "style", "Woodcut")
    expect(tab.locator("#style-note")).to_contain_text("visible gouge marks")
    tab.click("#generate")
    expect(tab.locator("#results .prompt").first).to_contain_text("a red heart. A woodcut print")
    # What is typed next seeks anew instead of going on behind the title.
    choose(tab, "style", "Macro")


def test_every_picture_draws_its_own_words(visit):
    tab = visit()
    tab.fill("#prompt textarea", "a {red|green|blue|pink|white|black} heart")
    expect(tab.locator("#reading li")).to_have_count(3)
    tab.locator("#count").get_by_text("4", exact=True).click()
    tab.fill("#seed input", "40")
    tab.click("#generate")
    thumbs = tab.locator("#results [data-thumb]")
    expect(thumbs).to_have_count(4)
    shown = tab.locator("#results .prompt").all_text_contents()
    assert len(set(shown)) > 1
    assert all(re.fullmatch(r"a \w+ heart", prompt) for prompt in shown)


def test_a_long_prompt_offers_ways_to_shorten_it(visit):
    tab = visit()
    expect(tab.locator("#long-prompt")).to_be_hidden()
    tab.fill("#prompt textarea", "a red heart on a blue background. " * 90)
    expect(tab.locator("#reading")).to_contain_text("only the first 512 are read")
    tab.locator("#long-prompt").get_by_text("Read all").click()
    expect(tab.locator("#reading")).to_contain_text("of 1,504 tokens")


def test_settings_are_kept_as_a_preset_and_found_after_a_reload(visit, complaints):
    tab = visit()
    tab.locator("#advanced > button").click()
    tab.fill("#steps input", "11")
    tab.locator("#presets > button").click()
    tab.fill("#preset-title input", "<b>Eleven</b>")
    tab.click("#preset-save")
    expect(tab.locator("#preset-note")).to_contain_text("The preset “<b>Eleven</b>” is saved.")
    tab.fill("#steps input", "12")
    reload(tab, complaints)
    tab.locator("#advanced > button").click()
    tab.locator("#presets > button").click()
    expect(tab.locator("#steps input")).to_have_value("12")
    choose(tab, "preset", "Eleven")
    expect(tab.locator("#steps input")).to_have_value("11")
    tab.click("#preset-delete")
    expect(tab.locator("#preset-note")).to_contain_text("is deleted")


def test_a_shape_of_ones_own_is_written_as_numbers(visit):
    tab = visit()
    tab.locator("#shape").get_by_text("Custom").click()
    tab.locator("#other-shape input").click()
    tab.keyboard.type("2:1")
    tab.keyboard.press("Enter")
    tab.locator("#advanced > button").click()
    expect(tab.locator("#width input")).to_have_value("192")
    expect(tab.locator("#height input")).to_have_value("96")
    expect(tab.locator("#size-note")).to_contain_text("was not trained on 192 × 96 pixels")


def test_a_grid_is_painted_with_one_sheet(visit):
    tab = visit()
    tab.fill("#prompt textarea", "a red heart")
    tab.locator("#grid > button").click()
    choose(tab, "grid-across", "Seed")
    tab.fill("#grid-across-values input", "1..3")
    choose(tab, "grid-down", "Words")
    tab.fill("#grid-down-values input", "red, blue")
    expect(tab.locator("#grid-note")).to_contain_text("3 × 2 = 6 pictures")
    tab.click("#grid-start")
    expect(tab.locator("#grid-told")).to_contain_text("6 of 6")
    expect(tab.locator("#grid-told img.sheet")).to_be_visible()


def test_the_list_of_styles_stays_open_while_some_are_named(visit):
    tab = visit()
    tab.locator("#grid > button").click()
    choose(tab, "grid-across", "Style")
    note, titles = tab.locator("#grid-note"), tab.locator("#grid-note details p")
    note.locator("summary").click()
    expect(titles).to_contain_text("Oil, old masters")
    tab.fill("#grid-across-values input", "none; Oil, old masters")
    expect(note).to_contain_text("2 × 1 = 2 pictures")
    expect(titles).to_be_visible()
