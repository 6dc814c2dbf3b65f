"""The words of a form on their way into requests: styles, word lists, sizes of their own."""

from __future__ import annotations

import pytest

from engine import BadRequest, NotFound, Presets
from ui.wording import plain_words, requests_of

PRESETS = Presets()
FORM = {"prompt": "a fox", "negative": "fog", "guidance_scale": 4.0, "count": 1, "seed": "7"}


def painted(**values):
    return requests_of(PRESETS, {**FORM, **values})


def test_a_plain_form_is_one_request_as_it_is():
    (one,) = painted()
    assert (one.prompt, one.negative, one.seed, one.count) == ("a fox", "fog", 7, 1)


def test_a_style_is_put_around_the_prompt_and_into_the_negative():
    style = PRESETS.style("Macro")
    (one,) = painted(style="Macro")
    assert one.prompt == style.apply("a fox")
    assert one.negative == f"fog, {style.negative}"


def test_without_guidance_a_style_adds_no_negative():
    (one,) = painted(style="Macro", guidance_scale=0)
    assert one.negative == ""


def test_an_unknown_style_is_refused():
    with pytest.raises(NotFound, match="'Nope'"):
        painted(style="Nope")


def test_each_picture_draws_its_own_words_by_its_own_seed():
    several = painted(prompt="a __animal__ {here|there}", count=8)
    assert [one.seed for one in several] == list(range(7, 15))
    assert {one.count for one in several} == {1}
    assert len({one.prompt for one in several}) > 3
    alone = painted(prompt="a __animal__ {here|there}", seed="9")
    assert alone[0].prompt == several[2].prompt


def test_without_a_seed_one_is_drawn_and_kept_with_the_words():
    (one,) = painted(prompt="{a|b|c|d} fox", seed="")
    assert one.seed is not None
    (again,) = painted(prompt="{a|b|c|d} fox", seed=str(one.seed))
    assert again.prompt == one.prompt


def test_a_form_without_lists_paints_its_pictures_as_one_job():
    (one,) = painted(count=4)
    assert one.count == 4


def test_words_of_negatives_and_regions_are_drawn_too():
    regions = [{"prompt": "{x|x} hat", "mask": "input:" + "0" * 64}]
    (one,) = painted(negative="{fog|fog}", regions=regions)
    assert one.negative == "fog"
    assert one.regions[0].prompt == "x hat"


def test_signs_after_a_backslash_stand_for_themselves():
    (one,) = painted(prompt="\\{a|b\\} \\__animal__", count=4)
    assert one.prompt == "{a|b} __animal__"
    assert one.count == 4


def test_a_picture_keeps_its_size_where_the_form_says_so():
    picture = "input:" + "0" * 64
    asked = {"images": [picture], "width": 512, "height": 512}
    assert painted(**asked, match=True)[0].width is None
    assert painted(**asked, match=False)[0].width == 512
    assert painted(width=512, height=512, match=True)[0].width == 512


@pytest.mark.parametrize("prompt", ["__nope__", "{" * 9000, "{{{{{{a|b}|c}|d}|e}|f}|g}"])
def test_words_that_cannot_be_drawn_are_told(prompt):
    with pytest.raises(BadRequest):
        painted(prompt=prompt)
    assert plain_words(PRESETS, prompt) == prompt
