"""What there is to choose from in every easel: models, adapters, presets, styles, word lists."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import Fit, ModelEntry, Request, StudioError
from ui import strings
from ui.components import picker, presets, styles
from ui.context import PageContext
from ui.handlers import on, plain_errors
from ui.tabs.easel import Easel

Updates = dict[Block, Any]


class Offers:
    """The handlers that offer all easels the same, looked through once for all of them."""

    def __init__(self, page: PageContext, easels: Sequence[Easel]) -> None:
        self._page = page
        self._easels = easels
        self._built = self._words()

    @plain_errors()
    def list_models(self) -> Updates:
        """Offer the models and adapters that there are now."""
        shelf = self._page.shelf
        shelf.look_again()
        offered = shelf.offered()
        models = picker.choices(offered, self._fits(offered))
        adapters = [
            (entry.name.removesuffix(".safetensors"), entry.name) for entry in shelf.loras()
        ]
        hint = strings.LORA_ADD_INFO if self._page.owner else ""
        info = hint if adapters else f"{strings.LORA_FOLDER_EMPTY} {hint}"
        return {
            part: update
            for easel in self._easels
            for part, update in (
                (easel.form.model, gr.update(choices=models)),
                (easel.form.loras.add, gr.update(choices=adapters, info=info)),
            )
        }

    @plain_errors()
    def list_words(self) -> Updates:
        """Offer the presets, styles and word lists that there are now.

        A page is built once and loaded often; what has stayed since then is not sent again.
        """
        now = self._words()
        return dict(gr.skip()) if now == self._built else now

    def _words(self) -> Updates:
        found = self._page.presets
        kept, ways = (presets.choices(found)["choices"], styles.style_choices(found)["choices"])
        lists = styles.lists_markup(found.wildcards.names)
        return {
            part: update
            for easel in self._easels
            for part, update in (
                (easel.extras.presets.preset, gr.update(choices=kept)),
                (easel.extras.styles.style, gr.update(choices=ways)),
                (easel.extras.styles.lists, lists),
            )
        }

    def _fits(self, models: Sequence[ModelEntry]) -> dict[str, Fit]:
        """Say how each model's usual picture goes with this machine, where that is known."""
        found = dict[str, Fit]()
        for model in models:
            # What cannot be painted with says so itself.
            with suppress(StudioError):
                told = self._page.engine.forecast(Request(prompt="", model=model.name))
                found |= {} if told is None else {model.name: told.fit}
        return found


def connect_offers(
    page: PageContext, easels: Sequence[Easel], demo: gr.Blocks, status: gr.HTML
) -> None:
    """Offer what there is when the page is loaded. status: tells when models or adapters change."""
    handlers = Offers(page, easels)
    models = [part for easel in easels for part in (easel.form.model, easel.form.loras.add)]
    on(status.select, handlers.list_models, [], models, at_once=True)
    words = [
        part
        for easel in easels
        for part in (
            easel.extras.presets.preset, easel.extras.styles.style, easel.extras.styles.lists,
        )
    ]  # fmt: skip
    on(demo.load, handlers.list_words, [], words, at_once=True)
