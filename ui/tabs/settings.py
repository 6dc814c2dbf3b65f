"""The Settings tab: what holds for every picture on this computer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from engine import BadRequest, Precision, Profile, Settings, Theme
from ui import strings
from ui.context import PageContext
from ui.handlers import on, plain_errors
from ui.markup import Markup, tag
from ui.tabs.machine import build_machine
from ui.tabs.models import build_models

THEME_SCRIPT = "(theme) => window.atelierTheme(theme)"


def build_settings(page: PageContext, tab: gr.Tab) -> None:
    """Build the tab and connect it."""
    now = page.engine.settings
    with gr.Column(elem_id="settings-tab"):
        if page.notices:
            gr.HTML(_notices_markup(page.notices), apply_default_css=False)
        with gr.Column(elem_classes="card"):
            machine = build_machine(page, tab)
        with gr.Column(elem_classes="card"):
            folder, loras, theme = _build_places(now)
        save = gr.Button(strings.SAVE, variant="primary", elem_id="save-settings")
        said = gr.HTML("", elem_id="settings-note", apply_default_css=False)
        handlers = SettingsHandlers(page)
        fields = [*machine.fields, folder, loras, theme]
        saved = on(save.click, handlers.save, fields, [said])
        saved.success(None, [theme], None, js=THEME_SCRIPT)
        on(tab.select, handlers.show, [], fields, at_once=True)
        build_models(page, tab)


class SettingsHandlers:
    """The handlers of the tab."""

    def __init__(self, page: PageContext) -> None:
        self._page = page

    @plain_errors()
    def save(self, *values: Any) -> Markup:
        """Keep the settings, in the order of `show`; say so once they are on the disk."""
        device, precision, vram_gb, profile, folder, loras, theme = values
        known = precision in set(Precision) and profile in set(Profile) and theme in set(Theme)
        if not known:
            raise BadRequest(strings.UNKNOWN_CHOICE, strings.UNKNOWN_CHOICE_ACTION)
        self._page.engine.update_settings(
            replace(
                self._page.engine.settings,
                device=device.strip(),
                precision=Precision(precision),
                vram_gb=vram_gb,
                profile=Profile(profile),
                output_folder=_full_path(strings.OUTPUT_FOLDER, folder),
                lora_folder=_full_path(strings.LORA_FOLDER, loras),
                theme=Theme(theme),
            )
        )
        return tag("p", strings.SAVED, class_="note good", role="status")

    @plain_errors()
    def show(self) -> tuple[str, str, float | None, str, str, str, str]:
        """Return what is kept now, whatever page or program saved it."""
        now = self._page.engine.settings
        machine = now.device, str(now.precision), now.vram_gb, str(now.profile)
        return *machine, str(now.output_folder), str(now.lora_folder), str(now.theme)


def _build_places(now: Settings) -> tuple[gr.Textbox, gr.Textbox, gr.Radio]:
    folders = (
        (strings.OUTPUT_FOLDER, strings.OUTPUT_FOLDER_INFO, now.output_folder, "output-folder"),
        (strings.LORA_FOLDER, strings.LORA_FOLDER_INFO, now.lora_folder, "lora-folder"),
    )
    output, loras = (
        gr.Textbox(label=label, info=info, value=str(value), max_lines=1, elem_id=name)
        for label, info, value, name in folders
    )
    theme = gr.Radio(
        label=strings.THEME, choices=list(strings.THEMES), value=str(now.theme), elem_id="theme"
    )
    return output, loras, theme


def _full_path(what: str, text: str) -> Path:
    path = Path(text.strip()).expanduser()
    if not path.is_absolute():
        sentence = f"The {what} {text.strip()!r:.80} is not a full path."
        raise BadRequest(sentence, strings.FULL_PATH)
    return path


def _notices_markup(notices: tuple[str, ...]) -> Markup:
    return tag("div", *(tag("p", notice, class_="note warn", role="status") for notice in notices))
