"""The page as a whole: settings, theme, small screens, access."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.ui.browser.conftest import Visit, reload
from tests.ui.fake_catalogue import put_lora
from tests.ui.fake_engine import draw

pytestmark = pytest.mark.browser

CONTRAST = """
() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if ((c[3] ?? 1) > 0.5) return c;
    }
    return [255, 255, 255];
  };
  const worst = [];
  for (const e of document.querySelectorAll('h1, p, span, button, label, strong, [role=tab], a')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.offsetParent || e.closest('[disabled]')) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) worst.push(`${e.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return worst;
}
"""

UNNAMED = """
() => [...document.querySelectorAll('input, textarea, button, select, a, summary')]
  .filter((e) => e.offsetParent && !e.labels?.length && !e.getAttribute('aria-label'))
  .filter((e) => !e.textContent.trim() && !e.title)
  .map((e) => e.outerHTML.slice(0, 120))
"""


def faults(tab: Page) -> list[str]:
    """Return the texts that are hard to read, and the controls that have no name."""
    # Colours change softly.
    tab.wait_for_timeout(300)
    return [*tab.evaluate(CONTRAST), *tab.evaluate(UNNAMED)]


def open_settings(tab: Page) -> None:
    tab.get_by_role("tab", name="Settings").click()
    expect(tab.locator("#save-settings")).to_be_visible()
    expect(tab.locator(".model").first).to_be_visible()


def test_the_status_line_says_what_the_machine_is_and_does(visit: Visit):
    status = visit().locator("#status")
    expect(status).to_contain_text("NVIDIA RTX 4070")
    expect(status).to_contain_text("ready")


def test_settings_are_saved_and_kept_over_a_reload(visit: Visit, studio, complaints):
    before = studio.settings
    tab = visit()
    open_settings(tab)
    expect(tab.locator("#vram input")).to_have_value("")
    tab.locator("#vram input").fill("6.5")
    tab.get_by_role("radio", name="bf16").check()
    tab.locator("#save-settings").click()
    expect(tab.locator("#settings-note")).to_contain_text("Saved.")
    stored = json.loads((studio.settings.data_dir / "settings.json").read_text(encoding="utf-8"))
    assert (stored["vram_gb"], stored["precision"]) == (6.5, "bf16")
    reload(tab, complaints)
    open_settings(tab)
    expect(tab.locator("#vram input")).to_have_value("6.5")
    studio.update_settings(before)


def test_a_bad_setting_is_refused_and_not_called_saved(visit: Visit, studio):
    before = studio.settings
    tab = visit()
    open_settings(tab)
    tab.locator("#output-folder input").fill("not/a/full/path")
    tab.locator("#save-settings").click()
    expect(tab.get_by_test_id("toast-text")).to_contain_text("not a full path")
    expect(tab.locator("#settings-note")).not_to_contain_text("Saved")
    assert studio.settings == before


def test_a_model_is_planned_fetched_paused_and_seen_again_after_a_reload(
    visit: Visit, studio, complaints
):
    tab = visit()
    open_settings(tab)
    tab.get_by_role("button", name="Plan the download of Z-Image-De-Turbo").click()
    expect(tab.locator(".plan")).to_contain_text("12.7 GB · https://huggingface.co")
    assert studio.downloads.state().plan is None
    tab.get_by_role("button", name="Download", exact=True).click()
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    studio.downloads.reach(3 * 10**9, 12 * 10**9)
    expect(tab.locator(".download")).to_contain_text("3.00 of 12.00 GB · 45.2 MB/s")
    expect(tab.locator("#status")).to_contain_text("downloading 25 %")
    tab.get_by_role("button", name="Pause").click()
    expect(tab.get_by_role("button", name="Resume")).to_be_visible()
    reload(tab, complaints)
    open_settings(tab)
    tab.get_by_role("button", name="Resume").click()
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    studio.shelves.fetched.add("de-turbo")
    studio.downloads.finish()
    expect(tab.locator(".download")).to_contain_text("Pick it on the Generate tab.")
    tab.get_by_role("tab", name="Generate").click()
    tab.wait_for_timeout(2500)
    tab.locator("#model input").click()
    expect(tab.get_by_role("option", name="Z-Image-De-Turbo")).to_be_visible()
    studio.downloads.close()


def test_no_link_leads_to_where_only_programs_call(visit: Visit):
    tab = visit()
    expect(tab.locator("#prompt")).to_be_visible()
    expect(tab.get_by_role("link", name="Home")).to_be_hidden()


def test_a_chosen_theme_holds_at_once_and_after_a_reload(visit: Visit, studio, complaints):
    before = studio.settings
    tab = visit()
    body = tab.locator("body")
    expect(body).not_to_have_class("dark")
    open_settings(tab)
    tab.get_by_role("radio", name="Dark").check()
    tab.locator("#save-settings").click()
    expect(body).to_have_class("dark")
    reload(tab, complaints)
    expect(body).to_have_class("dark")
    studio.update_settings(before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(visit: Visit, studio, scheme):
    for name in ("ink", "stranger"):
        put_lora(studio.settings.lora_folder, name)
    tab = visit()
    tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    tab.locator("#prompt textarea").fill("an elephant")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#results figure").first).to_be_visible()
    tab.get_by_role("button", name="Advanced").click()
    expect(tab.locator("#steps input")).to_be_visible()
    tab.get_by_role("button", name="LoRA").click()
    for name in ("ink", "stranger"):
        tab.locator("#lora-add input").click()
        tab.get_by_role("option", name=name, exact=True).click()
        expect(tab.locator("#loras .head").filter(has_text=name)).to_be_visible()
    assert faults(tab) == []
    open_settings(tab)
    assert faults(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_can_be_read_and_its_controls_have_names(visit: Visit, tmp_path, scheme):
    draw(96, 64, 4).save(tmp_path / "a.png")
    tab = visit()
    tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    tab.get_by_role("tab", name="Inpaint").click()
    tab.locator(".painter [data-field=picture]").set_input_files(tmp_path / "a.png")
    expect(tab.locator(".painter")).not_to_have_class("painter blank")
    for closed in tab.locator(".painter summary").all():
        closed.click()
    assert faults(tab) == []
    tab.get_by_role("tab", name="Edit").click()
    tab.locator("#edit-pictures input[type=file]").first.set_input_files(tmp_path / "a.png")
    tab.locator("#edit-prompt textarea").fill("make it red")
    tab.keyboard.press("Control+Enter")
    expect(tab.locator("#edit-chain [data-step]")).to_have_count(2)
    tab.get_by_role("button", name="Many pictures at once").click()
    expect(tab.locator("#edit-batch-start")).to_be_visible()
    assert faults(tab) == []
    tab.get_by_role("tab", name="History").click()
    tab.locator("#history-gallery button").first.click()
    tab.locator("#history-picture [data-act=like]").click()
    expect(tab.locator("#history-note")).to_contain_text("favourite")
    assert faults(tab) == []


def test_a_phone_needs_no_sideways_scrolling_and_its_buttons_are_large(visit: Visit):
    tab = visit()
    tab.set_viewport_size({"width": 390, "height": 844})
    for name in ("Generate", "Settings"):
        tab.get_by_role("tab", name=name).click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.get_by_role("tab", name="Generate").click()
    for button in ("#generate", "#chips button", "#seed-random", "#shape label"):
        assert tab.locator(button).first.bounding_box()["height"] >= 44
    expect(tab.locator("#generate")).to_be_in_viewport(ratio=1)


def test_nothing_moves_for_those_who_asked_for_that(visit: Visit):
    tab = visit()
    tab.emulate_media(reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter(e => e.getAnimations().length).length"
    assert tab.evaluate(moving) == 0


def test_every_control_has_a_name_and_there_is_one_heading_and_one_main(visit: Visit):
    tab = visit()
    tab.get_by_role("button", name="Advanced").click()
    expect(tab.locator("#steps input")).to_be_visible()
    assert tab.evaluate(UNNAMED) == []
    expect(tab.locator("h1")).to_have_count(1)
    expect(tab.locator("main")).to_have_count(1)
