"""How the painted part of a picture is painted anew: strength, edge, and what lies under it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from engine import MAX_CONTEXT, MAX_FEATHER, Fill, Request
from ui import painter_strings as strings
from ui.components.ids import Ids
from ui.markup import Markup, tag

STRENGTH: Final = 1.0
"""What a mask is repainted with, unless the user says otherwise."""
COLOUR_SCRIPT: Final = """
const well = element.querySelector('input');
const show = () => { well.value = props.value; };
well.addEventListener('input', () => { props.value = well.value; });
watch('value', show);
show();
"""
"""Gradio's own picker gives colours in several notations; this gives #rrggbb alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepaintParts:
    """The widgets, each named after the field of a request that it fills."""

    strength: gr.Slider
    feather: gr.Slider
    fill: gr.Radio
    fill_colour: gr.HTML
    masked_only: gr.Checkbox
    context: gr.Number
    soft: gr.Checkbox

    @property
    def fields(self) -> dict[str, Component]:
        """The widgets by the name of the field."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def build_repaint(ids: Ids) -> RepaintParts:
    """Build the widgets."""
    plain = Request(prompt="")
    strength = gr.Slider(
        0, 1, STRENGTH, step=0.05, label=strings.STRENGTH, info=strings.STRENGTH_INFO,
        **ids.mark("strength"),
    )  # fmt: skip
    feather = gr.Slider(
        0, MAX_FEATHER, plain.feather, step=1, label=strings.FEATHER, info=strings.FEATHER_INFO,
        **ids.mark("feather"),
    )  # fmt: skip
    fill = gr.Radio(
        label=strings.FILL, info=strings.FILL_INFO, value=plain.fill.value,
        choices=[(strings.FILLS[one], one.value) for one in Fill], **ids.mark("fill"),
    )  # fmt: skip
    fill_colour = gr.HTML(
        plain.fill_colour, html_template=_colour_template(), js_on_load=COLOUR_SCRIPT,
        visible=False, apply_default_css=False, **ids.mark("fill-colour"),
    )  # fmt: skip
    masked_only = gr.Checkbox(
        label=strings.MASKED_ONLY, info=strings.MASKED_ONLY_INFO, value=plain.masked_only,
        **ids.mark("masked-only"),
    )  # fmt: skip
    context = gr.Number(
        label=strings.CONTEXT, info=strings.CONTEXT_INFO, value=plain.context, step=1, minimum=0,
        maximum=MAX_CONTEXT, visible=False, **ids.mark("context"),
    )  # fmt: skip
    soft = gr.Checkbox(
        label=strings.SOFT_MASK, info=strings.SOFT_MASK_INFO, value=plain.soft, **ids.mark("soft")
    )
    return RepaintParts(
        strength=strength, feather=feather, fill=fill, fill_colour=fill_colour,
        masked_only=masked_only, context=context, soft=soft,
    )  # fmt: skip


def repaint_updates(parts: RepaintParts, request: Request) -> dict[Block, Any]:
    """Return what the widgets show for a request."""
    values = {
        **{name: getattr(request, name) for name in parts.fields},
        "strength": STRENGTH if request.strength is None else request.strength,
        "fill": request.fill.value,
    }
    shown = {
        "fill_colour": request.fill is Fill.COLOUR,
        "context": request.masked_only,
    }
    return {
        widget: gr.update(value=values[name], visible=shown.get(name, True))
        for name, widget in parts.fields.items()
    }


def _colour_template() -> Markup:
    well = tag("input", type="color")
    return tag("label", tag("span", strings.FILL_COLOUR), well, class_="well")
