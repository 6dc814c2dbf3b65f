"""The page changes its language at once, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from engine import Language
from tests.ui.browser.conftest import wait_until_ready

pytestmark = pytest.mark.browser


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


def test_a_browser_that_speaks_german_is_spoken_to_in_german(browser, served):
    context = browser.new_context(locale="de-DE")
    tab = context.new_page()
    tab.goto(served.url)
    wait_until_ready(tab)
    expect(tab.get_by_role("tab", name="Erzeugen")).to_be_visible()
    box = tab.get_by_placeholder("Beschreibe das Bild.")
    box.fill("Settings")
    expect(box).to_have_value("Settings")
    context.close()
