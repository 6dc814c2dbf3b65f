"""Styles, word lists, tokens, sizes and presets of a form, handled as the page does."""

from __future__ import annotations

import json

import gradio as gr
import pytest

from tests.ui.building import built, handlers_of
from tests.ui.fake_engine import FakeEngine
from ui import presets_strings as words
from ui.context import PageContext
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.grid import Grid
from ui.tabs.preset_handlers import PresetHandlers
from ui.tabs.word_handlers import WordHandlers

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with FakeEngine(tmp_path_factory.mktemp("words"), step_seconds=0.0) as engine:
        yield engine


@pytest.fixture(scope="module")
def owners(studio):
    return PageContext(engine=studio)


@pytest.fixture(scope="module")
def demo(owners):
    return built(owners)


@pytest.fixture
def handlers(demo):
    return handlers_of(demo, WordHandlers)


@pytest.fixture
def presets(demo, studio):
    yield handlers_of(demo, PresetHandlers)
    for preset in studio.presets.full[0]:
        if studio.presets.is_own(preset.title):
            studio.presets.remove(preset.title)
    studio.presets.forget_defaults("demo-base")


@pytest.fixture(scope="module")
def guests(studio):
    return built(PageContext(engine=studio, owner=False))


def event(**values):
    return gr.EventData(None, values)


def named(updates):
    return {part.elem_id: value for part, value in updates.items() if part.elem_id}


def form(**changes):
    values = {
        "prompt": "a red heart", "negative": "fog", "model": "demo-base", "seed": "7", "steps": 21,
        "guidance_scale": 3.0, "shift": 3.0, "sampler": "euler", "width": 144, "height": 112,
        "count": 2, "cfg_normalization": 1.0, "cfg_truncation": 0.8, "step_cache": 0.0, "loras": "",
        "lora_partial": False, "long_prompt": "cut", "style": "Macro", "match": False,
    }  # fmt: skip
    return {**values, **changes}


def read(handlers, prompt, *, style="", way="cut", seed="", model="demo-base"):
    told, picker = handlers.read(prompt, model, style, way, seed)
    return str(told), picker


def test_tokens_are_counted_with_the_template_and_the_style(handlers):
    plain, picker = read(handlers, "a red heart")
    assert "of 512 tokens" in plain
    assert picker["visible"] is False
    count = int(plain.split(" of 512")[0].split(">")[-1])
    styled, _ = read(handlers, "a red heart", style="Macro")
    assert int(styled.split(" of 512")[0].split(">")[-1]) > count


def test_a_long_prompt_is_told_and_its_shortening_offered(handlers):
    told, picker = read(handlers, "a red heart. " * 200)
    assert "only the first 512 are read" in told
    assert picker["visible"] is True
    told, _ = read(handlers, "a red heart. " * 200, way="full")
    assert "of 1,504 tokens" in told
    assert "all are read" in told


def test_an_empty_prompt_says_nothing(handlers):
    assert read(handlers, "  ")[0] == ""


def test_examples_of_a_draw_are_shown_and_others_on_demand(handlers):
    prompt = "__animal__ in __place__"
    told, _ = read(handlers, prompt)
    assert told.count("<li>") == 3
    assert "__" not in told
    more, _ = handlers.draw(event(draw=3), prompt, "demo-base", "", "cut", "")
    assert str(more) != told


def test_with_a_seed_exactly_what_it_draws_is_shown(handlers, studio):
    told, _ = read(handlers, "__animal__", seed="12")
    assert told.count("<li>") == 1
    assert studio.presets.wildcards.expand("__animal__", 12).prompt in told


@pytest.mark.parametrize("prompt", ["__nope__", "{{{{{{a|b}|c}|d}|e}|f}|g}", "\ud800"])
def test_words_that_cannot_be_drawn_get_their_reason(handlers, prompt):
    assert "note warn" in read(handlers, prompt)[0]


@pytest.mark.parametrize(
    "given", [{"seed": "x"}, {"way": "some"}, {"style": "Nope"}, {"seed": "9" * 19}]
)
def test_what_no_browser_sends_gets_its_reason(handlers, given):
    assert "note warn" in read(handlers, "a heart", **given)[0]


def test_of_a_model_that_is_not_there_nothing_is_counted(handlers):
    assert read(handlers, "a heart", model="turbo")[0] == ""


def test_a_guest_counts_no_tokens_of_a_path(guests, tmp_path):
    assert read(handlers_of(guests, WordHandlers), "a heart", model=str(tmp_path))[0] == ""


def test_what_is_written_is_shown_letter_by_letter(handlers, demo):
    told, _ = read(handlers, f"{SCRIPT} {{a|b}}")
    assert SCRIPT not in told
    assert "&lt;script&gt;" in told


def test_a_style_is_told_before_it_is_used(handlers):
    note, use = handlers.choose_style("Macro")
    assert words.YOUR_PROMPT in note
    assert use["visible"] is True
    assert handlers.choose_style("") == ("", gr.update(visible=False))


def test_the_settings_of_a_style_are_taken_where_the_model_heeds_them(handlers, studio):
    base = studio.model("base")
    taken = named(handlers.use_settings("Film poster", 1.0, False, base))
    assert taken["guidance-scale"] == 5.0
    assert taken["width"] < taken["height"]
    assert taken["shape"] == "Portrait 2:3"
    macro = named(handlers.use_settings("Macro", 1.0, True, base))
    assert macro["cfg-normalization"]["value"] == 1.0
    assert "width" not in macro
    turbo = named(handlers.use_settings("Film poster", 1.0, False, studio.model("turbo")))
    assert "guidance-scale" not in turbo


def test_a_list_is_added_to_the_prompt_and_no_other_words(handlers):
    assert handlers.add_list(event(list="animal"), "a hat on") == "a hat on __animal__"
    with pytest.raises(gr.Error):
        handlers.add_list(event(list="../secret"), "")


def test_other_shapes_are_offered_beside_ones_own_size(handlers, studio):
    assert handlers.heed_shape("Custom")["visible"] is True
    assert handlers.heed_shape("Square 1:1")["visible"] is False
    chosen = named(handlers.choose_other("16:9", 1.0, studio.model("base")))
    assert chosen == {"width": 1344, "height": 752, "shape": "Custom"} or (
        chosen["width"] / chosen["height"] == pytest.approx(16 / 9, rel=0.02)
    )
    with pytest.raises(gr.Error, match="no shape"):
        handlers.choose_other("wide", 1.0, studio.model("base"))


def test_a_size_is_fixed_while_the_picture_keeps_its_own(handlers):
    assert {v["interactive"] for v in handlers.heed_match(True).values()} == {False}
    assert {v["interactive"] for v in handlers.heed_match(False).values()} == {True}


def test_a_form_is_kept_as_a_preset_and_given_back(presets, studio):
    told = named(presets.save("My heart", False, **form()))
    assert told["preset"]["value"] == "My heart"
    kept = studio.presets.preset("My heart")
    assert kept.style == "Macro"
    assert kept.settings["steps"] == 21
    assert not {"prompt", "seed"} & kept.settings.keys()
    given = named(presets.take("My heart", "demo-turbo"))
    assert given["model"]["value"] == "demo-base"
    assert given["steps"]["value"] == 21
    assert (given["width"]["value"], given["height"]["value"]) == (144, 112)
    assert given["style"]["value"] == "Macro"
    assert given["count"]["value"] == 2
    assert not {"prompt", "seed", "note"} & given.keys()


def test_a_prompt_is_kept_where_asked(presets):
    presets.save("With words", True, **form())
    assert named(presets.take("With words", "demo-turbo"))["prompt"]["value"] == "a red heart"


def test_what_a_preset_holds_of_things_not_here_is_told(presets, studio):
    settings = {"model": "elsewhere", "steps": 44, "sampler": "heun", "count": 3}
    studio.presets.keep("Foreign", settings, "Lost style")
    given = named(presets.take("Foreign", "demo-base"))
    note = str(given["preset-note"])
    for lost in ("heun", "Lost style", "elsewhere"):
        assert lost in note
    assert given["model"]["value"] == "demo-base"
    assert given["steps"]["value"] == studio.model("demo-base").defaults.steps


def test_hostile_titles_are_shown_letter_by_letter(presets):
    told = named(presets.save(SCRIPT, False, **form()))
    assert SCRIPT not in str(told["preset-note"])
    deleted = named(presets.delete(SCRIPT))
    assert SCRIPT not in str(deleted["preset-note"])


@pytest.mark.parametrize(
    ("title", "said"), [("", "preset a name"), (" \n", "preset a name"), ("x" * 81, "short name")]
)
def test_a_preset_needs_a_name(presets, title, said):
    with pytest.raises(gr.Error, match=said):
        presets.save(title, False, **form())


def test_only_own_presets_can_be_deleted(presets):
    for title in (None, "", "Base, balanced", "nope"):
        with pytest.raises(gr.Error, match="you saved"):
            presets.delete(title)


def test_a_model_begins_with_the_users_own_defaults(presets, owners, demo):
    presets.keep_defaults(**form())
    begun = owners.find_model("demo-base").variant.defaults
    assert (begun.steps, begun.guidance_scale, begun.width, begun.negative) == (21, 3.0, 144, "fog")
    shown = named(handlers_of(demo, FormHandlers).choose_model("demo-base", "", ""))
    assert shown["steps"]["value"] == 21
    assert owners.find_model("demo-turbo").variant.defaults.steps == 8
    presets.forget_defaults("demo-base")
    assert owners.find_model("demo-base").variant.defaults.steps == 20


def test_guests_keep_nothing_and_see_nothing_of_the_owners(presets, studio, guests):
    presets.save("Private", False, **form())
    presets.keep_defaults(**form())
    own = studio.settings.data_dir / "presets" / "wildcards"
    own.mkdir(parents=True, exist_ok=True)
    (own / "secret.txt").write_text("the owner's words")
    guest = handlers_of(guests, PresetHandlers)
    calls = (
        lambda: guest.save("Mine", False, **form()),
        lambda: guest.delete("Private"),
        lambda: guest.keep_defaults(**form()),
        lambda: guest.forget_defaults("demo-base"),
        lambda: guest.take("Private", "demo-base"),
    )
    for call in calls:
        with pytest.raises(gr.Error):
            call()
    assert studio.presets.is_own("Private")
    told, _ = read(handlers_of(guests, WordHandlers), "__secret__")
    assert "owner" not in told
    page = PageContext(engine=studio, owner=False)
    assert page.find_model("demo-base").variant.defaults.steps == 20


def test_a_guests_page_has_no_grid_and_names_no_own_list(guests, studio):
    assert not [part for part in guests.blocks.values() if str(part.elem_id).startswith("grid")]
    config = json.dumps(guests.get_config_file(), default=str)
    assert "Private" not in config


def test_a_grid_says_how_many_pictures_it_has_or_why_not(demo):
    grid = handlers_of(demo, Grid)
    assert "2 × 3 = 6 pictures" in grid.foretell("steps", "4, 8", "seed", "1..3")
    assert "no number" in grid.foretell("steps", "many", "", "")
    assert "1 × 1 = 1 picture<" in grid.foretell("steps", "4", "", "")
    assert grid.foretell("steps", "", "", "") == ""


def test_a_grid_of_styles_tells_their_titles(demo):
    grid = handlers_of(demo, Grid)
    assert "none; Natural light photo; " in grid.foretell("style", "", "", "")
    told = grid.foretell("seed", "1, 2", "style", "none; Oil, old masters")
    assert "2 × 2 = 4 pictures" in told and "Natural light photo" in told
    assert "no style" in grid.foretell("style", "Unheard of", "", "")
