"""The part of the settings about what is kept on this computer: how much it is, and clearing it."""

from __future__ import annotations

from typing import Final

import gradio as gr

from engine import BadRequest, Keep, Kept
from ui import settings_strings, strings
from ui.context import PageContext
from ui.handlers import on, plain_errors
from ui.markup import Markup, tag

SCRIPT: Final = """
element.addEventListener('click', ({ target }) => {
  const kind = target.closest('[data-clear]')?.dataset.clear;
  if (kind) trigger('select', { kind });
});
"""


def build_stores(page: PageContext, tab: gr.Tab) -> None:
    """Build the list, empty until the tab is opened, and connect it."""
    with gr.Column(elem_classes="card", elem_id="stores-card"):
        gr.HTML(
            tag("h2", settings_strings.KEPT), elem_classes="card-title", apply_default_css=False
        )
        kept = gr.HTML("", js_on_load=SCRIPT, elem_id="stores", apply_default_css=False)
    handlers = StoreHandlers(page)
    on(tab.select, handlers.show, [], [kept], at_once=True)
    on(kept.select, handlers.clear, [], [kept])


class StoreHandlers:
    """The handlers of this part."""

    def __init__(self, page: PageContext) -> None:
        self._page = page

    @plain_errors()
    def show(self) -> Markup:
        """Return how much everything takes."""
        return stores_markup(self._page.engine.kept())

    @plain_errors()
    def clear(self, event: gr.EventData) -> Markup:
        """Clear one kind, and return what is left."""
        kind = event.kind
        if not isinstance(kind, str) or kind not in set(Keep):
            raise BadRequest(strings.UNKNOWN_CHOICE, strings.UNKNOWN_CHOICE_ACTION)
        freed = self._page.engine.clear(Keep(kind))
        return stores_markup(self._page.engine.kept(), settings_strings.cleared(freed))


def stores_markup(kept: tuple[Kept, ...], said: str = "") -> Markup:
    """Return a row for each kind, and what was just done."""
    total = settings_strings.kept_in_all(sum(one.size for one in kept))
    done = tag("p", said, class_="note good", role="status") if said else ""
    rows = tag("ul", *(_row(one) for one in kept), class_="stores")
    return tag("div", rows, tag("p", total, class_="hint"), done)


def _row(kept: Kept) -> Markup:
    title, purpose = settings_strings.KINDS[str(kept.kind)]
    button = tag(
        "button",
        settings_strings.CLEAR,
        type="button",
        data_clear=str(kept.kind),
        disabled=not kept.size,
        aria_label=settings_strings.clear(title),
    )
    words = tag("div", tag("span", title), tag("p", purpose, class_="hint"))
    size = tag("span", strings.file_size(kept.size) if kept.size else "–", class_="size")
    return tag("li", words, size, tag("div", button, class_="actions"))
