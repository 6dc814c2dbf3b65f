"""The Generate tab in a real browser."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from engine import read_recipe
from tests.ui.browser.conftest import Visit, reload
from tests.ui.fake_catalogue import put_lora

pytestmark = pytest.mark.browser


@pytest.fixture
def slowly(studio):
    """Hold the painter at its first step until the test lets it go on."""
    studio.go_on.clear()
    yield studio.go_on
    studio.go_on.set()


def ask_for(tab: Page, prompt: str) -> None:
    """Type a prompt and press Ctrl+Enter."""
    tab.locator("#prompt textarea").fill(prompt)
    tab.keyboard.press("Control+Enter")


def wait_for_picture(tab: Page) -> None:
    expect(tab.locator("#results figure").first).to_be_visible()
    expect(tab.locator("#generate")).to_be_visible()


def test_the_prompt_has_the_focus_and_ctrl_enter_paints(visit: Visit):
    tab = visit()
    expect(tab.locator("#prompt textarea")).to_be_focused()
    tab.keyboard.type("a large red heart on a white background")
    tab.keyboard.press("Control+Enter")
    wait_for_picture(tab)
    expect(tab.locator(".facts").first).to_contain_text("8 steps · 128 × 128 · Demo Turbo")


def test_an_example_fills_the_prompt(visit: Visit):
    tab = visit()
    tab.get_by_role("button", name="a large red heart on a white background").click()
    expect(tab.locator("#prompt textarea")).to_have_value("a large red heart on a white background")


def test_a_small_picture_is_shown_large_and_smooth(visit: Visit):
    tab = visit()
    ask_for(tab, "a red heart")
    wait_for_picture(tab)
    picture = tab.locator("#results .frame img").first
    expect(picture).to_have_js_property("naturalWidth", 128)
    assert picture.bounding_box()["height"] > 400
    assert picture.evaluate("e => getComputedStyle(e).imageRendering") == "auto"


def test_while_it_paints_the_page_shows_steps_and_a_preview(visit: Visit, studio):
    studio.step_seconds = 0.4
    tab = visit()
    ask_for(tab, "a red heart")
    expect(tab.locator("#stage .line")).to_contain_text("Painting · step")
    expect(tab.locator("#stage img.preview")).to_be_visible()
    expect(tab.locator("#atelier-said")).to_contain_text("Painting")
    wait_for_picture(tab)
    studio.step_seconds = 0.02


def test_escape_cancels_and_nothing_is_saved(visit: Visit, studio, slowly):
    before = set(studio.settings.output_folder.glob("*"))
    tab = visit()
    ask_for(tab, "a red heart")
    expect(tab.locator("#cancel")).to_be_visible()
    tab.keyboard.press("Escape")
    slowly.set()
    expect(tab.locator("#stage")).to_contain_text("Stopped")
    expect(tab.locator("#generate")).to_be_visible()
    assert set(studio.settings.output_folder.glob("*")) == before


def test_a_reloaded_page_finds_its_running_job(visit: Visit, slowly, complaints):
    tab = visit()
    ask_for(tab, "a red heart")
    expect(tab.locator("#cancel")).to_be_visible()
    reload(tab, complaints)
    expect(tab.locator("#cancel")).to_be_visible()
    slowly.set()
    wait_for_picture(tab)


def test_a_closed_tab_does_not_stop_its_job_and_a_new_one_finds_it(
    visit: Visit, slowly, complaints
):
    tab = visit()
    ask_for(tab, "a red heart")
    expect(tab.locator("#cancel")).to_be_visible()
    tab.close()
    again = visit()
    if again.locator("#cancel").is_hidden():
        # The server may hear of the closed tab after the new one.
        again.wait_for_timeout(500)
        reload(again, complaints)
    expect(again.locator("#cancel")).to_be_visible()
    slowly.set()
    wait_for_picture(again)


def test_two_tabs_paint_side_by_side(visit: Visit, slowly):
    first, second = visit(), visit()
    for tab, prompt in ((first, "a red heart"), (second, "a blue star")):
        tab.bring_to_front()
        ask_for(tab, prompt)
        expect(tab.locator("#cancel")).to_be_visible()
    expect(second.locator("#stage")).to_contain_text("Next in line")
    second.locator("#cancel").click()
    expect(second.locator("#stage")).to_contain_text("Stopped")
    expect(first.locator("#cancel")).to_be_visible()
    slowly.set()
    wait_for_picture(first)
    expect(first.locator("figure .prompt").first).to_have_text("a red heart")


def test_a_turbo_model_disables_what_it_ignores_and_says_why(visit: Visit):
    tab = visit()
    tab.get_by_role("button", name="Advanced").click()
    negative = tab.locator("#negative textarea")
    expect(negative).to_be_disabled()
    expect(tab.locator("#negative")).to_contain_text("Turbo")
    choose(tab, "Demo Base")
    expect(negative).to_be_enabled()
    expect(tab.locator("#steps input")).to_have_value("20")
    tab.locator("#guidance-scale input").fill("0")
    expect(negative).to_be_disabled()


def choose(tab: Page, title: str) -> None:
    """Pick a model."""
    tab.locator("#model input").click()
    tab.get_by_role("option", name=re.compile(f"^{title} ·")).click()


def test_a_file_of_ones_own_is_asked_about_once(visit: Visit, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.touch()
    tab = visit()
    model = tab.locator("#model input")
    model.fill(str(path))
    model.press("Enter")
    tab.get_by_role("button", name="Base: with guidance").click()
    expect(tab.locator("#note")).to_contain_text("negative prompts")
    expect(tab.locator("#model-note button")).to_have_count(0)
    choose(tab, "Demo Turbo")
    expect(tab.locator("#note")).to_contain_text("Tiny model")
    model.fill(str(path))
    model.press("Enter")
    expect(tab.locator("#note")).to_contain_text("negative prompts")
    expect(tab.locator("#model-note button")).to_have_count(0)


def test_the_shape_sets_the_sides(visit: Visit):
    tab = visit()
    choose(tab, "Z-Image")
    tab.get_by_role("button", name="Advanced").click()
    tab.get_by_role("radio", name="Wide 16:9").check()
    expect(tab.locator("#width input")).to_have_value("1280")
    expect(tab.locator("#height input")).to_have_value("720")
    tab.locator("#height input").fill("736")
    expect(tab.get_by_role("radio", name="Custom")).to_be_checked()


def test_a_word_the_model_never_saw_is_named(visit: Visit):
    tab = visit()
    tab.locator("#prompt textarea").fill("an elephant in the center")
    expect(tab.locator("#note")).to_contain_text("never saw “elephant”")


def test_a_bad_size_shows_the_engines_sentence(visit: Visit):
    tab = visit()
    tab.get_by_role("button", name="Advanced").click()
    tab.locator("#width input").fill("100")
    ask_for(tab, "a red heart")
    expect(tab.get_by_test_id("toast-text")).to_contain_text("must be a multiple of 16")
    expect(tab.locator("#generate")).to_be_visible()


def test_a_failed_job_says_what_happened_and_what_to_do(visit: Visit):
    tab = visit()
    ask_for(tab, "NaN")
    expect(tab.get_by_role("alert").first).to_contain_text("Try precision fp32.")
    expect(tab.locator("#generate")).to_be_visible()


def test_the_gallery_keeps_earlier_pictures_and_gives_back_their_settings(visit: Visit):
    tab = visit()
    tab.locator("#seed input").fill("11")
    ask_for(tab, "a red heart")
    wait_for_picture(tab)
    tab.locator("#seed input").fill("22")
    ask_for(tab, "a blue star")
    expect(tab.locator(".facts").first).to_contain_text("Seed 22")
    tab.get_by_role("button", name="Picture 2").click()
    expect(tab.locator("figure:visible .prompt")).to_have_text("a red heart")
    tab.locator("figure:visible").get_by_role("button", name="Use this seed").click()
    expect(tab.locator("#seed input")).to_have_value("11")
    tab.locator("figure:visible").get_by_role("button", name="Reuse all settings").click()
    expect(tab.locator("#prompt textarea")).to_have_value("a red heart")
    tab.get_by_role("button", name="Random").click()
    expect(tab.locator("#seed input")).to_have_value("")
    tab.get_by_role("button", name="Last used").click()
    expect(tab.locator("#seed input")).to_have_value("22")


def test_a_download_is_the_saved_file_with_its_recipe(visit: Visit, tmp_path):
    tab = visit()
    ask_for(tab, "a green ring")
    wait_for_picture(tab)
    with tab.expect_download() as download:
        tab.locator("figure:visible").get_by_role("link", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert re.fullmatch(r"[0-9a-f]+-0\.png", path.name)
    assert read_recipe(path)["request"]["prompt"] == "a green ring"


def test_a_dropped_picture_restores_its_settings(visit: Visit, studio):
    tab = visit()
    tab.locator("#seed input").fill("77")
    ask_for(tab, "a green ring on the left")
    wait_for_picture(tab)
    saved = max(studio.settings.output_folder.glob("*.png"), key=lambda p: p.stat().st_mtime_ns)
    fresh = visit()
    fresh.get_by_role("button", name="Restore settings").click()
    fresh.locator("#restore input[type=file]").set_input_files(saved)
    expect(fresh.locator("#dropped")).to_contain_text("a green ring on the left")
    expect(fresh.locator("#prompt textarea")).to_have_value("a green ring on the left")
    expect(fresh.locator("#seed input")).to_have_value("77")


def test_a_picture_without_a_recipe_says_so(visit: Visit, tmp_path):
    path = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(path)
    tab = visit()
    tab.get_by_role("button", name="Restore settings").click()
    tab.locator("#restore input[type=file]").set_input_files(path)
    expect(tab.get_by_test_id("toast-text")).to_be_visible()


@pytest.mark.parametrize(
    "prompt",
    ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "${alert(1)} {{x}} `", '"><b>'],
)
def test_a_prompt_that_is_html_is_shown_as_text(visit: Visit, prompt):
    tab = visit()
    scripts = tab.locator("script").count()
    ask_for(tab, prompt)
    wait_for_picture(tab)
    expect(tab.locator("figure .prompt").first).to_have_text(prompt)
    assert tab.locator("script").count() == scripts
    assert tab.locator("#results img").count() == 1


def add_adapter(tab: Page, name: str) -> None:
    """Pick an adapter from the list."""
    tab.locator("#lora-add input").click()
    tab.get_by_role("option", name=name, exact=True).click()
    expect(tab.locator("#loras .head").filter(has_text=name)).to_be_visible()


@pytest.fixture
def adapters(studio):
    """Adapters in the folder of the served page."""
    for name in ("ink", "half", "stranger"):
        put_lora(studio.settings.lora_folder, name)


def test_a_new_adapter_is_offered_weighed_switched_and_kept_in_the_recipe(visit: Visit, studio):
    tab = visit()
    put_lora(studio.settings.lora_folder, "fresh")
    tab.get_by_role("button", name="LoRA").click()
    choose(tab, "Demo Base")
    tab.wait_for_timeout(2500)
    add_adapter(tab, "fresh")
    tab.get_by_role("spinbutton", name="Weight of fresh").fill("-0.35")
    expect(tab.get_by_role("slider", name="Weight of fresh")).to_have_value("-0.35")
    tab.get_by_role("button", name="inkwash style").click()
    expect(tab.locator("#prompt textarea")).to_have_value("inkwash style")
    tab.locator("#generate").click()
    wait_for_picture(tab)
    expect(tab.locator("figure:visible .facts")).to_contain_text("fresh -0.35")
    tab.get_by_role("checkbox", name="fresh").uncheck()
    expect(tab.locator("#loras-section")).not_to_contain_text("1 on")
    tab.locator("figure:visible").get_by_role("button", name="Reuse all settings").click()
    expect(tab.get_by_role("checkbox", name="fresh")).to_be_checked()
    expect(tab.get_by_role("slider", name="Weight of fresh")).to_have_value("-0.35")


def test_an_adapter_that_does_not_fit_stops_until_it_is_removed(visit: Visit, adapters):
    tab = visit()
    tab.get_by_role("button", name="LoRA").click()
    add_adapter(tab, "stranger")
    expect(tab.locator(".lora.bad")).to_contain_text("was made for <b>SDXL</b>")
    ask_for(tab, "a red heart")
    expect(tab.get_by_test_id("toast-text")).to_contain_text("not for Z-Image")
    tab.get_by_role("button", name="Remove stranger").click()
    expect(tab.locator(".lora")).to_have_count(0)
    ask_for(tab, "a red heart")
    wait_for_picture(tab)


def test_one_click_shows_a_picture_with_and_without_the_adapter(visit: Visit, adapters):
    tab = visit()
    tab.get_by_role("button", name="LoRA").click()
    add_adapter(tab, "half")
    tab.get_by_role("checkbox", name="Allow partial LoRAs").check()
    tab.locator("#prompt textarea").fill("a red heart")
    tab.get_by_role("button", name="Compare with and without").click()
    pair = tab.locator("figure:visible .pair")
    expect(pair.get_by_text("Without LoRA")).to_be_visible()
    expect(pair.get_by_text("With half 1.0")).to_be_visible()
    expect(pair.locator("img")).to_have_count(2)
    expect(pair).to_be_in_viewport()
    tab.get_by_role("button", name="Picture 2").click()
    expect(pair).to_have_count(0)
    expect(tab.locator("figure:visible .facts")).not_to_contain_text("half")


def test_what_a_form_holds_survives_a_reload_and_stays_in_its_tab(visit: Visit, complaints):
    tab = visit()
    tab.locator("#prompt textarea").fill("two cats")
    tab.locator("#model input").click()
    tab.get_by_role("option", name="Demo Base").first.click()
    tab.get_by_role("tab", name="Edit", exact=True).click()
    tab.locator("#edit-prompt textarea").fill("make it red")
    tab.wait_for_function("sessionStorage.getItem('atelier-forms')?.includes('make it red')")
    for _ in range(2):
        reload(tab, complaints)
        expect(tab.locator("#prompt textarea")).to_have_value("two cats")
        expect(tab.locator("#model input")).to_have_value(re.compile("Demo Base"))
        tab.get_by_role("tab", name="Edit", exact=True).click()
        expect(tab.locator("#edit-prompt textarea")).to_have_value("make it red")
    other = visit()
    other.wait_for_timeout(500)
    expect(other.locator("#prompt textarea")).to_have_value("")
