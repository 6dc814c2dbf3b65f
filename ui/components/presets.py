"""Full presets: picked, kept and deleted; and the defaults of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine import Presets
from ui import presets_strings as words
from ui.components.ids import Ids
from ui.markup import Markup, join, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetParts:
    """The picker of presets, and for the owner what keeps and deletes them. note: what happened."""

    preset: gr.Dropdown
    note: gr.HTML
    title: gr.Textbox
    with_prompt: gr.Checkbox
    save: gr.Button
    delete: gr.Button
    keep: gr.Button
    forget: gr.Button


def build_presets(presets: Presets, ids: Ids, *, owner: bool) -> PresetParts:
    """Build the part for presets, folded away; guests may only pick."""
    with gr.Accordion(words.PRESETS, open=False, **ids.mark("presets")):
        preset = gr.Dropdown(
            label=words.PRESET, info=words.PRESET_INFO, **choices(presets), **ids.mark("preset")
        )
        note = gr.HTML("", **ids.mark("preset-note"), apply_default_css=False)
        with gr.Row(visible=owner, **ids.mark("preset-save-row")):
            title = gr.Textbox(
                label=words.PRESET_TITLE,
                placeholder=words.PRESET_HINT,
                max_lines=1,
                max_length=80,
                min_width=160,
                **ids.mark("preset-title"),
            )
            with_prompt = gr.Checkbox(
                label=words.WITH_PROMPT, min_width=120, **ids.mark("preset-with-prompt")
            )
        with gr.Row(visible=owner, **ids.mark("preset-buttons")):
            save, delete, keep, forget = (
                gr.Button(text, size="sm", min_width=120, **ids.mark(name))
                for text, name in (
                    (words.SAVE, "preset-save"),
                    (words.DELETE, "preset-delete"),
                    (words.KEEP_DEFAULTS, "defaults-keep"),
                    (words.FORGET_DEFAULTS, "defaults-forget"),
                )
            )
    return PresetParts(
        preset=preset, note=note, title=title, with_prompt=with_prompt, save=save, delete=delete,
        keep=keep, forget=forget,
    )  # fmt: skip


def choices(presets: Presets, chosen: str | None = None) -> dict[str, Any]:
    """Return the choices of the picker, own ones first, and which one is chosen."""
    found = sorted(presets.full[0], key=lambda preset: not presets.is_own(preset.title))
    return {"choices": [(_label(presets, one.title), one.title) for one in found], "value": chosen}


def note_markup(sentence: str, notices: Sequence[str] = ()) -> Markup:
    """Return what happened, and what was left out."""
    left_out = [tag("p", notice, class_="note warn") for notice in notices]
    told = tag("p", sentence, class_="note") if sentence else Markup("")
    return tag("div", join(told, *left_out), role="status")


def _label(presets: Presets, title: str) -> str:
    return f"{title} · {words.OWN}" if presets.is_own(title) else title
