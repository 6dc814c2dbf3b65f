"""Styles: those of the program are whole, different and usable; a user's own join them."""

from __future__ import annotations

import json
import re

import pytest

from engine.presets import Presets
from engine.presets.styles import RANGES, SLOT, Style, styles
from engine.prompts.wildcards import Wildcards
from engine.request import Request
from engine.variants import VARIANTS, by_name

ALL, NOTICES = Presets().styles
GROUPS = {style.group for style in ALL}
GOOD = {"title": "Mine", "prompt": "{prompt}. In my way."}


def write(folder, *entries, name="mine.json", group="Own"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"group": group, "styles": entries}))


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def test_the_program_has_at_least_sixty_styles_and_nothing_to_tell_of_them():
    assert len(ALL) >= 60
    assert NOTICES == ()


def test_there_are_posters_stories_in_panels_and_bilingual_text():
    assert len(GROUPS) >= 10
    for wanted in ("Photography", "Painting", "Drawing", "Posters", "panels", "Bilingual", "3D"):
        group = [style for style in ALL if wanted in style.group]
        assert len(group) >= 6, wanted


def test_no_two_styles_share_a_title_or_say_nearly_the_same():
    assert len({style.title.casefold() for style in ALL}) == len(ALL)
    said = [words(style.prompt) for style in ALL]
    for index, one in enumerate(said):
        for other in said[:index]:
            assert len(one & other) < 0.6 * len(one | other) or len(one | other) < 10


@pytest.mark.parametrize("style", ALL, ids=lambda style: style.title)
def test_a_style_is_plain_sentences_that_a_request_may_hold(style):
    painted = Request(
        prompt=style.apply("a fox in the snow"), negative=style.apply_negative(""), **style.settings
    )
    assert "a fox in the snow" in painted.prompt
    assert SLOT not in painted.prompt
    assert not re.search(r"masterpiece|\b[48]k\b|best quality|trending", style.prompt.lower())
    # Nothing in it is a wildcard.
    assert Wildcards([]).expand(painted.prompt, 1).prompt == painted.prompt
    assert not {"text", "lettering"} & words(style.negative) or '"' not in style.prompt


@pytest.mark.parametrize("style", ALL, ids=lambda style: style.title)
def test_recommended_settings_lie_in_the_range_that_the_base_model_recommends(style):
    low, high = by_name("base").limits.guidance_scale
    assert low <= style.settings.get("guidance_scale", low) <= high
    assert set(style.settings) <= set(RANGES)
    if style.shape is not None:
        assert 1 / 3 <= style.shape[0] / style.shape[1] <= 3


def test_the_demo_models_know_every_word_of_the_styles_made_for_them():
    variant = next(v for v in VARIANTS if v.name == "demo-base")
    own = [style for style in ALL if "Demo" in style.group]
    assert own
    for style in own:
        assert variant.unknown_words(style.apply("a red circle")) == ()


@pytest.mark.parametrize(
    ("prompt", "painted"),
    [
        ("a fox", "a fox. In ink."),
        (" a fox. ", "a fox. In ink."),
        ("a fox!", "a fox! In ink."),
        ("狐狸。", "狐狸。 In ink."),
    ],
)
def test_a_sentence_ends_once(prompt, painted):
    assert Style(title="t", group="g", prompt="{prompt}. In ink.").apply(prompt) == painted


def test_negatives_are_joined():
    style = Style(title="t", group="g", prompt="{prompt}", negative="blur")
    assert style.apply_negative("fog ") == "fog, blur"
    assert style.apply_negative("") == "blur"
    assert Style(title="t", group="g", prompt="{prompt}").apply_negative("fog") == "fog"


def test_a_users_own_style_joins_and_takes_the_place_of_one_of_the_same_title(tmp_path):
    taken = {**GOOD, "title": ALL[0].title}
    write(tmp_path / "presets" / "styles", GOOD, taken)
    found, notices = Presets(tmp_path).styles
    assert notices == ()
    assert len(found) == len(ALL) + 1
    by_title = {style.title: style for style in found}
    assert by_title["Mine"].group == "Own"
    assert by_title[ALL[0].title].prompt == GOOD["prompt"]


def test_one_bad_style_does_not_hide_the_others_of_its_file(tmp_path):
    write(tmp_path, GOOD, {**GOOD, "title": "Bad", "prompt": "no slot"}, {**GOOD, "title": "Third"})
    found, notices = styles([tmp_path])
    assert [style.title for style in found] == ["Mine", "Third"]
    (notice,) = notices
    assert "'Bad'" in notice


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""},
        {"title": 3},
        {"title": "x" * 81},
        {"title": "a\nb"},
        {"prompt": "{prompt} {prompt}"},
        {"prompt": None},
        {"prompt": "{prompt}\0"},
        {"prompt": "{prompt}" + "x" * 4000},
        {"negative": 1},
        {"shape": [1]},
        {"shape": [1, 0]},
        {"shape": "1:1"},
        {"settings": {"steps": 3}},
        {"settings": {"guidance_scale": 21}},
        {"settings": {"guidance_scale": True}},
        {"settings": []},
        {"run": "x"},
    ],
)
def test_a_style_that_cannot_be_is_told_by_the_name_of_its_file(tmp_path, changes):
    write(tmp_path, {**GOOD, **changes})
    found, notices = styles([tmp_path])
    assert found == ()
    (notice,) = notices
    assert "mine.json" in notice
