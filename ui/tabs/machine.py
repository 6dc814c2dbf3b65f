"""The part of the settings about this computer: its device, its memory, and how fast it can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component

from engine import (
    Choice,
    Device,
    HardwarePreset,
    NotFound,
    Precision,
    Request,
    Settings,
    StudioError,
    Tuning,
)
from ui import memory_strings, settings_strings, strings
from ui.components.forecast import forecast_markup, reason_markup
from ui.context import PageContext
from ui.handlers import QUIET, on, plain_errors
from ui.markup import Markup, join, tag


def build_machine(page: PageContext, tab: gr.Tab) -> dict[str, Component]:
    """Build the widgets and connect those that fill in others.

    Return those whose values are saved, by the names of the settings.
    """
    now, handlers = page.engine.settings, MachineHandlers(page)
    preset = _build_presets(page.engine.hardware_presets())
    device, precision = _build_device(now)
    with gr.Row():
        vram, profile = _build_memory(now)
    attention = _build_attention(now)
    chosen = gr.HTML("", elem_id="chosen", apply_default_css=False)
    optimise = gr.Button(memory_strings.OPTIMISE, size="sm", elem_id="optimise")
    found = gr.HTML(
        tuning_markup(page.engine.tuning),
        elem_id="optimised",
        apply_default_css=False,
    )
    on(preset.input, handlers.take_preset, [preset], [precision, vram, profile])
    optimise.click(
        handlers.optimise,
        [],
        [found, optimise],
        concurrency_limit=1,
        **QUIET,
    )
    on(tab.select, handlers.show_found, [], [found], at_once=True)
    on(tab.select, handlers.show_chosen, [], [chosen], at_once=True)
    return {
        "device": device,
        "precision": precision,
        "vram_gb": vram,
        "profile": profile,
        "attention": attention,
    }


class MachineHandlers:
    """The handlers of this part."""

    def __init__(self, page: PageContext) -> None:
        self._page = page

    @plain_errors()
    def take_preset(self, title: str) -> tuple[str, float, str]:
        """Fill in what suits a card; nothing is saved yet."""
        for preset in self._page.engine.hardware_presets():
            if preset.title == title:
                return str(preset.precision), preset.vram_gb, str(preset.profile)
        raise NotFound(strings.UNKNOWN_CHOICE, strings.UNKNOWN_CHOICE_ACTION)

    @plain_errors()
    def show_found(self) -> Markup:
        """Return what was found last, whichever page asked for it."""
        return tuning_markup(self._page.engine.tuning)

    @plain_errors()
    def show_chosen(self) -> Markup:
        """Return what the settings come to for the first model, and why."""
        asked = Request(prompt="", model=self._page.first_model.name)
        try:
            told = forecast_markup(self._page.engine.forecast(asked))
        except StudioError as error:
            return reason_markup(str(error))
        return join(tag("p", settings_strings.CHOSEN, class_="hint"), told) if told else told

    async def optimise(self) -> AsyncIterator[tuple[Markup, Any]]:
        """Find the fastest ways of this machine, and show them."""
        yield tag("p", memory_strings.OPTIMISING, class_="hint"), gr.update(interactive=False)
        shown = self.show_found()
        try:
            with plain_errors():
                tuning = await asyncio.to_thread(self._page.engine.optimise)
            shown = tuning_markup(tuning)
        finally:
            yield shown, gr.update(interactive=True)


def tuning_markup(tuning: Tuning | None) -> Markup:
    """Return what was tried, subject by subject, the fastest marked; else what could be."""
    if tuning is None:
        return tag("p", memory_strings.OPTIMISE_INFO, class_="hint")
    subjects = groupby(tuning.choices, key=lambda choice: choice.subject)
    rows = [_row(subject, tuple(choices)) for subject, choices in subjects]
    done = tag("p", memory_strings.optimised(tuning.seconds), class_="note good")
    return tag("div", done, tag("dl", *rows, class_="facts"), role="status")


def _row(subject: str, choices: Sequence[Choice]) -> Markup:
    ways = [
        tag("strong" if one.taken else "span", memory_strings.way(one.name, one.seconds))
        for one in choices
    ]
    named = memory_strings.SUBJECTS.get(subject, subject)
    return join(tag("dt", named), tag("dd", *_between(ways, " · ")))


def _between(parts: Sequence[Markup], mark: str) -> list[str]:
    return [part for pair in zip(parts, [mark] * len(parts), strict=True) for part in pair][:-1]


def _build_presets(presets: Sequence[HardwarePreset]) -> gr.Dropdown:
    return gr.Dropdown(
        label=memory_strings.PRESET,
        info=memory_strings.PRESET_INFO,
        choices=[preset.title for preset in presets],
        value=None,
        elem_id="preset",
    )


def _build_device(now: Settings) -> tuple[gr.Dropdown, gr.Radio]:
    device = gr.Dropdown(
        label=strings.DEVICE,
        info=strings.DEVICE_INFO,
        choices=[str(device) for device in Device],
        value=now.device,
        allow_custom_value=True,
        elem_id="device",
    )
    precision = gr.Radio(
        label=strings.PRECISION,
        info=strings.PRECISION_INFO,
        choices=[str(precision) for precision in Precision],
        value=str(now.precision),
        elem_id="precision",
    )
    return device, precision


def _build_attention(now: Settings) -> gr.Dropdown:
    return gr.Dropdown(
        label=settings_strings.ATTENTION,
        info=settings_strings.ATTENTION_INFO,
        choices=list(settings_strings.ATTENTIONS),
        value=str(now.attention),
        elem_id="attention",
    )


def _build_memory(now: Settings) -> tuple[gr.Number, gr.Dropdown]:
    vram = gr.Number(
        label=strings.VRAM,
        info=strings.VRAM_INFO,
        value=now.vram_gb,
        step=0.5,
        elem_id="vram",
    )
    profile = gr.Dropdown(
        label=memory_strings.PROFILE,
        info=memory_strings.PROFILE_INFO,
        choices=list(memory_strings.PROFILES),
        value=str(now.profile),
        elem_id="profile",
    )
    return vram, profile
