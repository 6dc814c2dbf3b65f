"""What stands in the forms comes back when a browser tab is loaded again.

The browser tab keeps it itself, so that two tabs, and two visitors, never meet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from engine import MAX_PROMPT_CHARACTERS, Request, StudioError, Variant
from ui import bindings
from ui.context import PageContext
from ui.handlers import QUIET, changes, plain_errors
from ui.tabs.easel import Easel
from ui.tabs.form_handlers import FormHandlers

Updates = dict[Block, Any]

PICTURES: Final = frozenset({"images", "mask", "regions", "extend"})
"""The fields that are not kept here; the painter keeps its own."""
MAX_KEPT: Final = 8 * MAX_PROMPT_CHARACTERS
"""Characters of all forms together."""


class Keeping:
    """Brings back what the forms held."""

    def __init__(self, page: PageContext, easels: Sequence[Easel]) -> None:
        self._page = page
        self._easels = easels

    @plain_errors()
    def restore(self, text: str) -> Updates:
        """Return the forms as a browser kept them; what is none is left as it stands."""
        # Gradio takes the panel away from a custom component that an answer leaves out.
        updates: Updates = {
            easel.form.loras.loras: gr.update(value="", panel="") for easel in self._easels
        }
        kept = _read(text)
        for easel in self._easels:
            values = kept.get(easel.ids.tab)
            if isinstance(values, dict):
                updates |= self._restored(easel, values)
            else:
                updates |= self._begun(easel)
        return updates

    def _begun(self, easel: Easel) -> Updates:
        """Return the model's defaults, where they are not those that the page was built with."""
        built: Variant = easel.form.variant.value
        try:
            now = self._page.find_model(built.name).variant
            if now.defaults == built.defaults:
                return {}
            fresh = Request(prompt="", model=built.name)
            return FormHandlers(self._page, easel.form, easel.dropped).shown(fresh)[0]
        except StudioError:
            # Who paints with it is told what is wrong.
            return {}

    def _restored(self, easel: Easel, values: Mapping[str, object]) -> Updates:
        form, names = easel.form, kept_fields(easel)
        try:
            known = {name: value for name, value in values.items() if name in names}
            request = bindings.read({"prompt": "", **known})
            updates, _ = FormHandlers(self._page, form, easel.dropped).shown(request)
        except StudioError:
            # One bad value, or a model that went, is no reason to lose the words.
            return _words(easel, values.get("prompt"))
        told = request.to_json()
        for name in form.extra.keys() & known.keys():
            updates[form.extra[name]] = gr.update(value=told[name])
        return updates


def kept_fields(easel: Easel) -> dict[str, Component]:
    """Return the widgets whose values a browser keeps, by the name of the field."""
    return {
        name: part
        for name, part in easel.form.fields.items()
        if name not in PICTURES and not isinstance(part, gr.State)
    }


def connect_keeping(page: PageContext, demo: gr.Blocks, easels: Sequence[Easel]) -> None:
    """Keep every form whenever it changes, and bring all back when the page is loaded."""
    handlers, kept = Keeping(page, easels), gr.Textbox(visible=False)
    for easel in easels:
        parts = kept_fields(easel)
        where = f"{json.dumps(easel.ids.tab)}, {json.dumps(list(parts))}"
        gr.on(
            changes(parts.values()),
            None,
            list(parts.values()),
            [],
            js=f"(...values) => window.atelierKeep({where}, values)",
        )
    demo.load(
        handlers.restore,
        [kept],
        [part for easel in easels for part in easel.form.everything],
        js="() => [window.atelierKept]",
        queue=False,
        **QUIET,
    )


def _read(text: str) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MAX_KEPT:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(easel: Easel, prompt: object) -> Updates:
    try:
        return {easel.form.prompt: Request(prompt=prompt).prompt}  # type: ignore[arg-type]
    except StudioError:
        return {}
