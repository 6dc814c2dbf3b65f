"""What the page says about memory and speed."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from engine import (
    STEP_CACHE_CHOICES,
    TRUNCATION_CHOICES,
    Advice,
    Fit,
    Forecast,
    Note,
    Remedy,
    Tuning,
)
from tests.engine.fakes import TUNING
from tests.ui.building import handlers_of
from ui.components.forecast import forecast_markup
from ui.components.form import INFOS
from ui.tabs.form_handlers import FORETOLD, FormHandlers
from ui.tabs.machine import MachineHandlers, tuning_markup

GIB = 2**30
FORM = {
    "model": "demo-turbo", "width": 128.0, "height": 128.0, "count": 1, "steps": 8,
    "guidance_scale": 0.0, "cfg_truncation": 1.0, "step_cache": 0.0, "loras": "[]",
}  # fmt: skip


def told(fit=Fit.FITS, **changes) -> Forecast:
    values = {"needed_bytes": int(5.1 * GIB), "budget_bytes": 8 * GIB, "seconds": 10.2}
    return Forecast(**{"fit": fit, **values, **changes})


def test_a_job_that_fits_says_how_much_and_how_long():
    shown = forecast_markup(told())
    assert "Fits: 5.1 of 8.0 GB, about 10 s" in shown
    assert "note good" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "under a second"), (89.0, "about 89 s"), (600.0, "about 10 min"),
        (18000.0, "about 5 h"), (None, "8.0 GB<"),
    ],
)  # fmt: skip
def test_times_are_written_as_people_say_them(seconds, words):
    assert words in forecast_markup(told(seconds=seconds))


def test_a_job_that_memory_slows_down_says_why_and_what_helps():
    advice = (Advice(remedy=Remedy.INT8),)
    shown = forecast_markup(told(Fit.TIGHT, notes=(Note.STREAMED,), advice=advice))
    assert "note warn" in shown
    assert "slower for lack of memory. Choose the precision int8 in Settings." in shown
    assert "Parts of the model move to the card" in shown


def test_an_impossible_job_names_a_size_that_works():
    advice = (Advice(remedy=Remedy.SMALLER, width=1024, height=768),)
    shown = forecast_markup(told(Fit.IMPOSSIBLE, advice=advice))
    assert "note bad" in shown
    assert "Does not fit: needs 5.1 GB, there are 8.0 GB. 1024 × 768 works." in shown


def test_every_note_and_every_remedy_has_words():
    for note in Note:
        forecast_markup(told(notes=(note,)))
    for remedy in Remedy:
        forecast_markup(told(Fit.TIGHT, advice=(Advice(remedy=remedy, width=64, height=64),)))


def test_without_a_forecast_there_is_no_line():
    assert forecast_markup(None) == ""


def test_the_form_is_foretold(demo, engine):
    form = handlers_of(demo, FormHandlers)
    engine.wait_until_known()
    assert "Fits: " in form.foretell(*(FORM[name] for name in FORETOLD))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 100.0}, "The width is 100"),
        ({"steps": -1}, "number of steps is -1"),
        ({"count": "x"}, "number of pictures"),
        ({"model": "/nowhere"}, ""),
    ],
)
def test_what_cannot_be_painted_gets_its_reason(demo, engine, change, said):
    form = handlers_of(demo, FormHandlers)
    engine.wait_until_known()
    line = form.foretell(*({**FORM, **change}[name] for name in FORETOLD))
    assert said in line
    assert "Fits" not in line
    assert bool(line) == bool(said)


def test_a_long_wait_is_no_good_news():
    assert "note good" in forecast_markup(told(seconds=599.0))
    assert "note warn" in forecast_markup(told(seconds=601.0))


def test_another_model_decides_anew_whether_steps_can_be_reused(demo):
    form = handlers_of(demo, FormHandlers)
    states = [
        next(u for b, u in form.choose_model(name, "", "").items() if b.elem_id == "step-cache")
        for name in ("demo-turbo", "demo-base")
    ]
    assert [state["interactive"] for state in states] == [False, True]
    assert [state["value"] for state in states] == [0.0, 0.0]


def test_a_preset_fills_in_what_suits_a_card(demo):
    machine = handlers_of(demo, MachineHandlers)
    precision, vram_gb, profile = machine.take_preset("8 GB (RTX 3070, RTX 4060)")
    assert (precision, vram_gb, profile) == ("int8", 8, "auto")


def test_a_preset_that_is_not_on_offer_is_refused(demo):
    with pytest.raises(gr.Error, match="not on offer"):
        handlers_of(demo, MachineHandlers).take_preset("../../etc/passwd")


def test_the_fastest_ways_are_shown_once_they_are_found(demo):
    async def run() -> list:
        return [shown async for shown in handlers_of(demo, MachineHandlers).optimise()]

    first, last = asyncio.run(run())
    assert "Trying every way" in first[0]
    assert first[1]["interactive"] is False
    assert "<strong>fused: 500.0 ms</strong>" in last[0]
    assert last[1]["interactive"] is True


def test_what_was_found_is_shown_to_every_page_that_opens(demo, engine):
    machine = handlers_of(demo, MachineHandlers)
    assert "Tries every way" in machine.show_found()
    engine.optimise()
    assert "<strong>fused: 500.0 ms</strong>" in machine.show_found()


def test_a_machine_without_a_choice_is_said_to_be_done():
    assert "Done in 0 s" in tuning_markup(Tuning(device="cpu"))
    assert "Layers" in tuning_markup(TUNING)


def test_little_memory_is_not_said_to_be_none():
    assert "Fits: under 0.1 of 8.0 GB" in forecast_markup(told(needed_bytes=2**24))


def test_what_is_traded_for_speed_stands_beside_the_option():
    said = INFOS["step_cache"], INFOS["cfg_truncation"]
    for sentence, choices in zip(said, (STEP_CACHE_CHOICES, TRUNCATION_CHOICES), strict=True):
        for choice in choices:
            assert f"{choice.value:g}" in sentence
            assert f"{100 * choice.saved:.0f}" in sentence
            assert f"{choice.difference:.1f}" in sentence
