"""The Edit tab in a real browser."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.browser.conftest import Visit, reload
from tests.ui.fake_engine import draw
from ui import edit_strings as words

pytestmark = pytest.mark.browser

PASTE = """async ([data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'pasted.png', { type: 'image/png' }));
  document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files }));
}"""
DROP = """(place, [data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
  const told = { dataTransfer: files, bubbles: true, cancelable: true };
  place.dispatchEvent(new DragEvent('drop', told));
}"""


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    draw(96, 64, 3).save(path)
    return path


def open_tab(tab: Page, name: str = words.EDIT) -> None:
    tab.get_by_role("tab", name=name, exact=True).click()


def choose(tab: Page, photo: Path) -> None:
    tab.set_input_files("#edit-pictures input[type=file]", photo)
    expect(tab.locator("#edit-pictures figure")).to_have_count(1)


def edit(tab: Page, instruction: str, steps: int) -> None:
    """Edit, and wait until the chain has so many steps."""
    tab.locator("#edit-prompt textarea").fill(instruction)
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#edit-chain [data-step]")).to_have_count(steps)
    expect(tab.locator("#edit-before-after .compare")).to_be_visible()


def test_a_picture_is_edited_compared_and_walked_back(visit: Visit, photo, complaints):
    tab = visit()
    open_tab(tab)
    choose(tab, photo)
    expect(tab.locator("#edit-intention")).to_contain_text("Edits by instruction")
    edit(tab, "make it red", 2)
    edit(tab, "make it blue", 3)
    expect(tab.locator(".chain .from")).to_have_text(words.branch_from(1))

    slider = tab.get_by_label(words.SLIDER)
    slider.focus()
    tab.keyboard.press("Home")
    box = tab.locator(".compare")
    assert box.evaluate("(one) => one.style.getPropertyValue('--at')") == "0%"

    steps = tab.locator("#edit-chain [data-step]")
    steps.nth(1).click()
    expect(tab.locator("#edit-results figure:not([hidden]) .prompt")).to_have_text("make it red")
    tab.get_by_role("button", name=words.HOLD).click()
    steps.nth(2).click()
    held = steps.nth(1).locator("img").get_attribute("src")
    expect(tab.locator(".compare .before")).to_have_attribute("src", held)
    expect(tab.locator(".compare .sign")).to_have_text(["Step 2", "Step 3"])
    expect(tab.locator("#edit-stage .line")).to_be_visible()
    steps.nth(0).click()
    expect(tab.locator("#edit-stage .line")).to_be_hidden()
    expect(tab.locator("#edit-chain").get_by_role("button", name="Inpaint")).to_be_visible()
    steps.nth(2).click()
    expect(tab.locator("#edit-chain").get_by_role("button", name="Inpaint")).to_be_hidden()

    tab.get_by_role("button", name=words.GO_ON).click()
    expect(steps.nth(2)).to_have_attribute("aria-current", "step")
    edit(tab, "add a hat", 4)

    reload(tab, complaints)
    open_tab(tab)
    expect(steps).to_have_count(3)
    expect(tab.locator("#edit-pictures figure")).to_have_count(1)


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped_where_it_is_seen(visit: Visit, photo, way):
    tab = visit()
    data = [base64.b64encode(photo.read_bytes()).decode()]
    tab.evaluate(PASTE, data)
    open_tab(tab)
    expect(tab.locator("#edit-pictures figure")).to_have_count(0)
    if way == "paste":
        tab.evaluate(PASTE, data)
    else:
        tab.locator("#edit-pictures .drop").evaluate(DROP, data)
    expect(tab.locator("#edit-pictures figure")).to_contain_text("96 × 64")
    tab.get_by_role("button", name=words.REMOVE).click()
    expect(tab.locator("#edit-pictures figure")).to_have_count(0)


def test_a_result_is_sent_here_and_edited_by_keys_alone(visit: Visit):
    tab = visit()
    tab.locator("#prompt textarea").fill("a red heart")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#results figure").first).to_be_visible()
    tab.locator("#results figure:not([hidden]) [data-act=edit]").press("Enter")
    expect(tab.locator("#edit-pictures figure")).to_be_visible()
    tab.locator("#edit-prompt textarea").focus()
    tab.keyboard.type("make it blue")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#edit-chain [data-step]")).to_have_count(2)
    tab.locator("#edit-chain [data-step]").last.focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name=words.GO_ON).press("Enter")
    here = tab.locator("#edit-chain [data-step]").last
    expect(here).to_have_attribute("aria-current", "step")


def test_a_batch_ends_in_a_contact_sheet(visit: Visit, photo, tmp_path, studio):
    other = tmp_path / "other.png"
    draw(64, 96, 4).save(other)
    tab = visit()
    open_tab(tab)
    tab.locator("#edit-prompt textarea").fill("in oil")
    tab.get_by_role("button", name=words.BATCH).click()
    tab.locator("#edit-batch-files input[type=file]").set_input_files([photo, other])
    expect(tab.locator("#edit-batch-files")).to_contain_text("other")
    tab.locator("#edit-batch-start").click()
    told = tab.locator("#edit-batch-told")
    expect(told).to_contain_text(words.batch_line(2, 2, 0))
    expect(told.locator(".sheet")).to_be_visible()
    assert told.locator(".sheet").evaluate(
        "(image) => image.decode().then(() => image.naturalWidth)"
    )


def test_the_tab_fits_a_phone(visit: Visit, photo):
    tab = visit()
    tab.set_viewport_size({"width": 390, "height": 844})
    open_tab(tab)
    choose(tab, photo)
    for number in range(2, 7):
        edit(tab, f"change {number}", number)
        tab.get_by_role("button", name=words.GO_ON).click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
