"""Prompts of earlier days come back with the arrow keys, in every prompt box of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import gradio as gr

from ui.context import PageContext
from ui.handlers import on
from ui.markup import Markup, tag

EARLIER_SCRIPT: Final = (Path(__file__).parents[1] / "static" / "earlier.js").read_text("utf-8")


def build_earlier() -> gr.HTML:
    """Build what holds the prompts, unseen; outside of all tabs, for those come when looked at."""
    return gr.HTML("", js_on_load=EARLIER_SCRIPT, elem_id="earlier", apply_default_css=False)


def connect_earlier(page: PageContext, earlier: gr.HTML, visitor: gr.State) -> None:
    """Tell the prompts once it is known who visits: those of the owner, or of the browser."""

    def tell(known: tuple[str, str]) -> Markup:
        history = page.engine.history
        session = page.session(known[0]) or ""
        found = () if history is None else history.prompts(session)
        return tag("i", data_prompts=json.dumps(found))

    on(visitor.change, tell, [visitor], [earlier], at_once=True)
