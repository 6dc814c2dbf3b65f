"""Browser tests: one browser, one context a test; any complaint of the browser fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    # Without the first two, every tab builds two pages for an address bar that nobody sees. The
    # others are of Playwright's own list, in whose place Chromium takes this one.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,"
    "AimEnabled,HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding",
)  # fmt: skip
PATIENCE = 30_000
"""Milliseconds; a loaded machine is slow, not wrong."""

Visit = Callable[..., Page]


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """A Chromium of the test run's own; while it is open, the main thread has an event loop."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser complained about; the test fails if there is anything at its end."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile: tabs of one context share their storage."""
    made = browser.new_context(viewport={"width": 1366, "height": 900})
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def visit(context: BrowserContext, served, complaints: list[str]) -> Visit:
    """Open a tab at the page and wait until the page answers."""

    def go(url: str = served.url) -> Page:
        tab = context.new_page()
        tab.on("console", lambda said: _note(complaints, said.type, said.text))
        tab.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        tab.on("request", lambda request: _check(complaints, request.url, url))
        tab.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        tab.goto(url)
        wait_until_ready(tab)
        return tab

    return go


def reload(tab: Page, complaints: list[str]) -> None:
    """Load a page again, and forget what the old one says about the lines that are cut."""
    before = len(complaints)
    tab.reload()
    wait_until_ready(tab)
    cut = [said for said in complaints[before:] if "AbortError" in said or "errored out" in said]
    complaints[before:] = [said for said in complaints[before:] if said not in cut]


def wait_until_ready(tab: Page) -> None:
    """Wait until a page answers; that it can be seen is not enough."""
    tab.wait_for_selector("[data-ready]", state="attached")


def _note(complaints: list[str], kind: str, text: str) -> None:
    if kind == "error":
        complaints.append(f"console: {text}")


def _check(complaints: list[str], requested: str, url: str) -> None:
    if not requested.startswith((url, "data:", "blob:")):
        complaints.append(f"request to {requested}")
