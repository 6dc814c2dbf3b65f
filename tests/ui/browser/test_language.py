"""The page changes its language at once, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from engine import Language
from tests.ui.browser.conftest import wait_until_ready

pytestmark = pytest.mark.browser

SHOWN = "e => Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').get.call(e)"
"""What stands in a field, which answers scripts in English."""


@pytest.fixture
def german(browser, served):
    """A tab of a browser that speaks German."""
    context = browser.new_context(locale="de-DE", viewport={"width": 1366, "height": 900})
    tab = context.new_page()
    tab.goto(served.url)
    wait_until_ready(tab)
    expect(tab.get_by_role("tab", name="Erzeugen")).to_be_visible()
    yield tab
    context.close()


def test_a_chosen_language_is_spoken_at_once_and_can_be_left_again(visit, studio):
    before = studio.settings
    studio.update_settings(replace(before, language=Language.ENGLISH))
    tab = visit()
    tab.get_by_role("tab", name="Settings").click()
    expect(tab.get_by_role("radio", name="English")).to_be_checked()
    for name, title, told in (
        ("Deutsch", "Einstellungen", "Gespeichert."), ("English", "Settings", "Saved."),
    ):  # fmt: skip
        tab.get_by_role("radio", name=name).check()
        tab.locator("#save-settings").click()
        expect(tab.get_by_role("tab", name=title)).to_be_visible()
        expect(tab.locator("#settings-note")).to_contain_text(told)
    assert tab.evaluate("document.documentElement.lang") == "en"
    studio.update_settings(before)


def test_a_browser_that_speaks_german_is_spoken_to_in_german(german):
    box = german.get_by_placeholder("Beschreibe das Bild.")
    box.fill("Settings")
    expect(box).to_have_value("Settings")


def test_a_closed_picker_shows_its_choice_in_german_and_sends_it_in_english(german):
    style = german.locator("#style input")
    expect(style).to_have_js_property("value", "None")
    assert style.evaluate(SHOWN) == "Keiner"
    style.click()
    german.get_by_role("option", name="Food photograph").click()
    expect(german.locator("#style-note")).to_contain_text("[dein Prompt]")
    assert style.evaluate(SHOWN) == "Photography · Food photograph"
    style.click()
    german.get_by_role("option", name="Keiner").click()
    expect(german.locator("#style-note")).to_have_text("")
    assert style.evaluate(SHOWN) == "Keiner"


def test_a_picture_is_told_of_in_german_and_its_prompt_stays_as_it_is(german):
    german.locator("#prompt textarea").fill("Edit")
    german.locator("#generate").click()
    expect(german.locator("#stage .line")).to_contain_text("Gemalt in")
    expect(german.locator("#results .prompt")).to_have_text("Edit")
    expect(german.locator("#results .facts").first).to_contain_text("8 Schritte · 128 × 128")
    expect(german.locator("#forecast")).to_contain_text("Passt: ")
