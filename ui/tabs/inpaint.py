"""The Inpaint tab: parts of a picture painted anew, and pictures made larger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from engine import Task
from ui import painter_strings as strings
from ui.components.form import Words
from ui.components.ids import Ids
from ui.components.painter import Painter, build_painter
from ui.components.repaint import RepaintParts, build_repaint
from ui.context import PageContext
from ui.handlers import on
from ui.painter_doors import painter_doors
from ui.tabs.easel import Easel, Plan, build_easel, connect_easel
from ui.tabs.inpaint_handlers import InpaintHandlers
from ui.tabs.sending import Arrival

WORDS = Words(
    label=strings.PROMPT,
    hint=strings.PROMPT_HINT,
    button=strings.REPAINT,
    invitation=strings.INVITATION,
)
TAB = "inpaint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inpaint:
    """The tab: its easel, how pictures arrive, and what gives back a picture's settings."""

    easel: Easel
    arrival: Arrival
    handlers: InpaintHandlers


def build_inpaint(page: PageContext, demo: gr.Blocks, status: gr.HTML) -> Inpaint:
    """Build the tab inside `demo` and connect it. status: tells when there is more to offer."""
    ids, painters, repaints, told = Ids(TAB), list[Painter](), list[RepaintParts](), list[gr.HTML]()

    def build_canvas() -> Mapping[str, Component]:
        painters.append(build_painter(ids, painter_doors(page)))
        told.append(gr.HTML("", **ids.mark("intention"), apply_default_css=False))
        return {**painters[0].fields, "task": gr.State(Task.INPAINT.value)}

    def build_fields() -> Mapping[str, Component]:
        with gr.Column(elem_classes="card"):
            repaints.append(build_repaint(ids))
        return repaints[0].fields

    easel = build_easel(
        page, ids, Plan(words=WORDS, above=build_canvas, below=build_fields, scales=(7, 5))
    )
    connect_easel(page, easel, demo, status)
    handlers = InpaintHandlers(page, painters[0], repaints[0])
    _connect(handlers, easel, told[0])
    return Inpaint(easel=easel, arrival=handlers.arrival, handlers=handlers)


def _connect(handlers: InpaintHandlers, easel: Easel, told: gr.HTML) -> None:
    painter, repaint = handlers.painter, handlers.repaint
    on(painter.mask.input, handlers.intend, [easel.form.model], [told], at_once=True)
    on(repaint.fill.change, handlers.choose_fill, [repaint.fill], [repaint.fill_colour])
    on(repaint.masked_only.change, handlers.choose_part, [repaint.masked_only], [repaint.context])
    on(easel.parts.results.select, handlers.recall, [easel.parts.shown], handlers.restored)
    on(easel.dropped.upload, handlers.restore, [], handlers.restored)
