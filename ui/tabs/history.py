"""The History tab: what was painted before, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr
from gradio.components import Component

from ui import history_strings as words
from ui.components.gallery import CHOSEN_SCRIPT, GALLERY_SCRIPT, SMALL_SCRIPT
from ui.context import PageContext
from ui.handlers import changes, on, on_any
from ui.markup import tag
from ui.tabs.easel import Easel
from ui.tabs.history_handlers import HistoryHandlers, HistoryParts, Places, View
from ui.tabs.sending import EVENTS, Arrival

# The tab that was just selected is the one whose results are seen.
RECALL_SCRIPT: Final = """
() => {
  let left = 60;
  const press = () => {
    const all = [...document.querySelectorAll('.z-results')];
    const seen = all.find((one) => one.offsetParent !== null);
    const button = seen?.querySelector('[data-figure="0"] [data-act="all"]');
    if (button) button.click(); else if (left-- > 0) setTimeout(press, 50);
  };
  setTimeout(press, 150);
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What the tab works with: the page's tabs, its easels by tab, and how pictures arrive."""

    tabs: gr.Tabs
    easels: Mapping[str, Easel]
    arrivals: Mapping[str, Arrival]


def build_history(page: PageContext) -> HistoryParts:
    """Build the tab, not connected yet."""
    with gr.Column(elem_id="history-tab"):
        for notice in page.engine.notices if page.owner else ():
            gr.HTML(tag("p", notice, class_="note warn"), apply_default_css=False)
        with gr.Column(elem_classes="card"):
            filters = _build_filters()
        note = _html("history-note", CHOSEN_SCRIPT)
        chosen = _html("history-picture", CHOSEN_SCRIPT)
        gallery = _html("history-gallery", GALLERY_SCRIPT)
        small = _html("history-small", SMALL_SCRIPT, elem_classes="unseen")
        with gr.Row(elem_id="history-turn"):
            newest = gr.Button(words.NEWEST, elem_id="history-newest", visible=False)
            older = gr.Button(words.OLDER, elem_id="history-older", visible=False)
            empty = gr.Button(
                words.EMPTY_TRASH, elem_id="history-empty", variant="stop", visible=False
            )
    return HistoryParts(
        filters=filters,
        note=note,
        gallery=gallery,
        small=small,
        chosen=chosen,
        newest=newest,
        older=older,
        empty=empty,
        view=gr.State(View()),
    )


def connect_history(page: PageContext, parts: HistoryParts, tab: gr.Tab, studio: Studio) -> None:
    """Connect the tab with itself and with the tabs that paint."""
    places = Places(tabs=studio.tabs, easels=studio.easels, arrivals=studio.arrivals)
    handlers = HistoryHandlers(page, parts, places)
    visitor = next(iter(studio.easels.values())).parts.visitor
    _connect_search(handlers, parts, tab, visitor)
    _connect_chosen(handlers, parts, visitor)
    _connect_places(handlers, parts, visitor, studio)


def _connect_search(
    handlers: HistoryHandlers, parts: HistoryParts, tab: gr.Tab, visitor: gr.State
) -> None:
    asked = [*parts.filters, visitor]
    on_any([*changes(parts.filters), parts.newest.click], handlers.look, asked, parts.page)
    on(tab.select, handlers.open, asked, [*parts.filters[1:3], *parts.page], at_once=True)
    on(parts.older.click, handlers.older, [parts.view, *asked], parts.page)
    on(parts.gallery.tick, handlers.make_small, [visitor], [parts.small], at_once=True)


def _connect_chosen(handlers: HistoryHandlers, parts: HistoryParts, visitor: gr.State) -> None:
    again = [parts.view, *parts.filters, visitor]
    shown = [parts.chosen, *parts.page]
    on(parts.gallery.select, handlers.choose, [visitor], [parts.chosen])
    on(parts.chosen.clear, handlers.close, [], [parts.chosen])
    on(parts.chosen.like, handlers.favour, again, shown)
    on(parts.chosen.delete, handlers.throw_away, again, shown)
    for back in (parts.chosen.undo, parts.note.undo):
        on(back, handlers.take_back, again, shown)
    on(parts.empty.click, handlers.empty_trash, again, shown)


def _connect_places(
    handlers: HistoryHandlers, parts: HistoryParts, visitor: gr.State, studio: Studio
) -> None:
    """Connect what leads from a chosen picture to a tab that paints."""
    for name, arrival in studio.arrivals.items():
        event = getattr(parts.chosen, EVENTS[name])
        outputs = [studio.tabs, *arrival.outputs]
        on(event, handlers.sender(name), [visitor, *arrival.inputs], outputs)
    main = next(iter(studio.easels.values()))
    form = [studio.tabs, *main.form.everything]
    on(parts.chosen.retry, handlers.other_model, [visitor], form)
    shown: list[Component] = [
        part
        for easel in studio.easels.values()
        for part in (easel.parts.results, easel.parts.shown)
    ]
    states = [easel.parts.shown for easel in studio.easels.values()]
    recalled = on(parts.chosen.submit, handlers.recall, [visitor, *states], [studio.tabs, *shown])
    recalled.success(None, [], None, js=RECALL_SCRIPT)


def _build_filters() -> tuple[Component, ...]:
    with gr.Row(elem_id="history-search"):
        text = gr.Textbox(
            label=words.WORDS, placeholder=words.WORDS_HINT, elem_id="history-words", scale=3
        )
        model = gr.Dropdown(
            [(words.ANY_MODEL, "")],
            value="",
            label=words.MODEL,
            elem_id="history-model",
            min_width=200,
        )
        lora = gr.Dropdown(
            [(words.ANY_LORA, "")],
            value="",
            label=words.LORA,
            elem_id="history-lora",
            min_width=200,
        )
        days = [
            gr.Textbox(label=label, placeholder=words.DAY_HINT, elem_id=name, min_width=120)
            for label, name in ((words.SINCE, "history-since"), (words.UNTIL, "history-until"))
        ]
    kind = gr.Radio(
        [(title, name) for name, title in words.KINDS.items()],
        value="all",
        label=words.KIND,
        elem_id="history-kind",
    )
    return text, model, lora, *days, kind


def _html(name: str, script: str, **more: Any) -> gr.HTML:
    return gr.HTML("", js_on_load=script, elem_id=name, apply_default_css=False, **more)
