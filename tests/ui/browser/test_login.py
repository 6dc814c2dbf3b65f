"""The page behind a password."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.ui.browser.conftest import wait_until_ready
from tests.ui.conftest import another_page, free_port
from ui.launch import LaunchOptions
from ui.serving import USER_NAME

pytestmark = pytest.mark.browser


def test_the_password_opens_a_page_that_paints_but_has_no_settings(engine, context, complaints):
    options = LaunchOptions(host="0.0.0.0", port=free_port(), password="open sesame", browser=False)
    with another_page(engine, options) as page:
        tab = context.new_page()
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.url)
        tab.locator("input").nth(0).fill(USER_NAME)
        tab.locator("input[type=password]").fill("open sesame")
        tab.get_by_role("button", name="Login", exact=True).click()
        wait_until_ready(tab)
        expect(tab.get_by_role("tab", name="Settings")).to_have_count(0)
        tab.locator("#prompt textarea").fill("a red heart")
        tab.keyboard.press("Control+Enter")
        expect(tab.locator("#results figure").first).to_be_visible()
        expect(tab.locator("#results img").first).to_have_js_property("naturalWidth", 128)
