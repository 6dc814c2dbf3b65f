"""Shapes beyond a model's own, and whether a changed picture keeps its size."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from engine import Presets
from ui import presets_strings as words
from ui.components import size
from ui.components.ids import MAIN, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeParts:
    """other: shapes by name or number. note: a warning. match: keep the size of the input."""

    other: gr.Dropdown
    note: gr.HTML
    match: gr.Checkbox


def build_sizes(presets: Presets, ids: Ids) -> SizeParts:
    """Build what stands below the picker of shapes."""
    match = gr.Checkbox(
        label=words.MATCH,
        info=words.MATCH_INFO,
        value=ids.tab != MAIN,
        visible=ids.tab != MAIN,
        **ids.mark("match"),
    )
    other = gr.Dropdown(
        label=words.OTHER_SHAPE,
        info=words.OTHER_SHAPE_INFO,
        choices=size.other_shapes(presets.shapes[0]),
        value=None,
        allow_custom_value=True,
        visible=False,
        **ids.mark("other-shape"),
    )
    note = gr.HTML("", **ids.mark("size-note"), apply_default_css=False)
    return SizeParts(other=other, note=note, match=match)
