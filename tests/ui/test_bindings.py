"""Widgets to request and back."""

from __future__ import annotations

import math

import pytest

from engine import BadRequest, Lora, Region, Request, Task
from engine.sampling.samplers import SAMPLERS
from engine.variants import VARIANTS, by_name
from ui import bindings
from ui.chosen import Chosen, write_chosen
from ui.components import form

TURBO, BASE = by_name("demo-turbo"), by_name("demo-base")


def widgets(**changes: object) -> dict[str, object]:
    return {**bindings.to_widgets(Request(prompt="a red heart"), BASE), **changes}


def test_every_field_of_a_request_has_a_widget_except_what_settings_decide():
    on_the_list = {"variant"}  # A model is asked about once, and its answer kept with it.
    others = set(Request(prompt="").to_json()) - set(bindings.READERS)
    assert others == {"precision", "device"} | on_the_list


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_request_survives_the_way_through_the_widgets(variant):
    request = Request(
        prompt="a house", negative="fog", model=variant.name, seed=2**62, steps=7,
        guidance_scale=2.5, shift=4.0, width=144, height=112, count=3, cfg_normalization=0.5,
        cfg_truncation=0.8, loras=(Lora("styles/ink.safetensors", -0.35), Lora("b")),
        lora_partial=True, step_cache=0.15,
    )  # fmt: skip
    assert bindings.to_request(bindings.to_widgets(request, variant)) == request


def test_whole_numbers_arrive_as_a_browser_sends_them():
    request = bindings.to_request(widgets(steps=8.0, width=128.0, count=2.0))
    assert (request.steps, request.width, request.count) == (8, 128, 2)


def test_an_empty_number_field_means_the_default():
    assert bindings.to_request(widgets(steps=None, shift=None)).steps is None


@pytest.mark.parametrize("text", ["", "  ", None])
def test_an_empty_seed_is_random(text):
    assert bindings.to_request(widgets(seed=text)).seed is None


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "9" * 5000, "nan", str(2**63)])
def test_a_seed_that_is_no_whole_number_is_refused(text):
    with pytest.raises(BadRequest, match="seed"):
        bindings.to_request(widgets(seed=text))


def test_a_seed_below_zero_is_told_the_range():
    with pytest.raises(BadRequest, match="between 0 and"):
        bindings.to_request(widgets(seed="-4"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, [], "8", 2**70, 8.5])
@pytest.mark.parametrize("name", ["steps", "width", "height", "count"])
def test_no_odd_value_passes_for_a_whole_number(name, value):
    with pytest.raises(BadRequest):
        bindings.to_request(widgets(**{name: value}))


@pytest.mark.parametrize("value", [math.nan, math.inf, True, [], "4", -1.0, 1e9])
@pytest.mark.parametrize("name", ["guidance_scale", "shift", "cfg_normalization", "cfg_truncation"])
def test_no_odd_value_passes_for_a_number(name, value):
    with pytest.raises(BadRequest):
        bindings.to_request(widgets(**{name: value}))


@pytest.mark.parametrize("prompt", ["", "   \n", None])
def test_an_empty_prompt_asks_for_words(prompt):
    with pytest.raises(BadRequest, match="Describe the picture"):
        bindings.to_request(widgets(prompt=prompt))


def test_a_prompt_may_not_hide_another_type():
    with pytest.raises(BadRequest, match="prompt"):
        bindings.to_request(widgets(prompt=["a"]))


def test_what_guidance_alone_uses_is_left_out_where_guidance_is_off():
    request = bindings.to_request(widgets(guidance_scale=0.0, negative="fog", cfg_truncation=0.5))
    assert (request.negative, request.cfg_truncation) == ("", 1.0)


def test_an_adapter_that_is_off_is_left_out():
    chosen = [Chosen(name="a", on=False), Chosen(name="b", weight=0.5)]
    request = bindings.to_request(widgets(loras=write_chosen(chosen)))
    assert request.loras == (Lora("b", 0.5),)


ONE = '{"name": "a", "weight": 1, "on": true}'


@pytest.mark.parametrize(
    "text",
    [
        "{", "[", "7", "null", '"a"', "[7]", "[[]]", "[" * 100_000, " " * 300_000, 7, ["a"],
        '[{"name": "a"}]', f'[{ONE[:-1]}, "path": "/"}}]', ONE, f"[{ONE.replace('true', '1')}]",
        f"[{ONE.replace('1', '2.01')}]", f"[{ONE.replace('1', 'NaN')}]",
        f"[{ONE.replace('1', '1e999')}]", f"[{ONE.replace('1', 'null')}]",
        '[{"name": 7, "weight": 1, "on": true}]', '[{"name": "", "weight": 1, "on": true}]',
        f"[{','.join([ONE] * 33)}]",
    ],
)  # fmt: skip
def test_no_odd_text_passes_for_a_list_of_adapters(text):
    with pytest.raises(BadRequest):
        bindings.to_request(widgets(loras=text))


@pytest.mark.parametrize("text", ["", None, "[]"])
def test_a_form_may_hold_no_adapters(text):
    assert bindings.to_request(widgets(loras=text)).loras == ()


def test_leave_to_use_a_part_is_true_or_false():
    with pytest.raises(BadRequest, match="lora_partial"):
        bindings.to_request(widgets(lora_partial="yes"))


def test_what_a_model_always_ignores_stays_off_with_guidance():
    twinflow = by_name("twinflow-turbo")
    assert {"shift", "sampler"} <= set(bindings.ignored(twinflow, 0.0))
    assert {"shift", "sampler"} <= set(bindings.ignored(twinflow, 2.0))


def test_a_turbo_model_says_in_its_own_words_why_a_control_is_off():
    assert "Turbo" in bindings.ignored(TURBO, 0.0)["negative"]


def test_guidance_wakes_the_controls_that_need_it_and_zero_puts_them_to_sleep():
    assert set(bindings.ignored(TURBO, 1.5)) == {"step_cache"}
    assert set(bindings.ignored(BASE, 0)) == set(bindings.NEUTRAL)
    assert bindings.ignored(BASE, 4.0) == {}


def test_the_samplers_on_offer_are_those_of_the_engine():
    assert tuple(SAMPLERS) == form.SAMPLERS


def test_lists_arrive_as_components_of_ours_hold_them():
    request = bindings.to_request(
        widgets(
            images='["input:ab"]', extend="[0, 16, 0, 16]", mask="input:cd", feather=4.0,
            regions='[{"prompt": "a door", "mask": "input:ef"}]', task="inpaint",
        )
    )  # fmt: skip
    assert request.images == ("input:ab",)
    assert request.extend == (0, 16, 0, 16)
    assert request.regions == (Region("a door", "input:ef"),)
    assert (request.task, request.feather) == (Task.INPAINT, 4)
    assert bindings.to_request(widgets(images="", regions=None)).images == ()
    with pytest.raises(BadRequest, match="is no list"):
        bindings.to_request(widgets(images="[oh"))
