"""The part of the settings that shares a page with guests; only its owner has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import BadRequest
from ui import sharing_strings as strings
from ui.components.sharing import SCRIPT, share_markup
from ui.handlers import on, on_any, plain_errors
from ui.markup import tag
from ui.sharing import Phase, Sharing

Updates = dict[Block, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareParts:
    """The components. choices: what is chosen before it starts."""

    shown: gr.HTML
    choices: gr.Row
    start: gr.Button
    stop: gr.Button

    @property
    def all(self) -> list[Block]:
        """All of them."""
        return [self.shown, self.choices, self.start, self.stop]


def build_sharing(sharing: Sharing, tab: gr.Tab) -> None:
    """Build the card and connect it."""
    is_on = sharing.state().phase is not Phase.OFF
    with gr.Column(elem_classes="card", elem_id="share-card"):
        gr.HTML(tag("h2", strings.SHARE), elem_classes="card-title", apply_default_css=False)
        gr.HTML(tag("p", strings.SHARE_INFO, class_="hint"), apply_default_css=False)
        with gr.Row(visible=not is_on) as choices:
            key = gr.Textbox(
                label=strings.OWN_KEY,
                info=strings.OWN_KEY_INFO,
                max_lines=1,
                min_width=160,
                elem_id="share-password",
            )
            hours = gr.Dropdown(
                label=strings.LIMIT,
                choices=list(strings.LIMITS),
                value=strings.LIMITS[0][1],
                min_width=160,
                elem_id="share-limit",
            )
        shown = gr.HTML(
            share_markup(sharing.state()),
            js_on_load=SCRIPT,
            elem_id="share",
            apply_default_css=False,
        )
        start = gr.Button(strings.START, size="sm", visible=not is_on, elem_id="start-sharing")
        stop = gr.Button(
            strings.STOP, size="sm", variant="stop", visible=is_on, elem_id="stop-sharing"
        )
    parts = ShareParts(shown=shown, choices=choices, start=start, stop=stop)
    handlers = ShareHandlers(sharing, parts)
    on(start.click, handlers.start, [key, hours], parts.all)
    on(stop.click, handlers.stop, [], parts.all)
    on_any([tab.select, shown.tick], handlers.show, [], parts.all)


class ShareHandlers:
    """The handlers of this part."""

    def __init__(self, sharing: Sharing, parts: ShareParts) -> None:
        self._sharing = sharing
        self._parts = parts

    async def start(self, key: str, hours: float) -> AsyncIterator[Updates]:
        """Open the guests' page and its link, and show them."""
        with plain_errors():
            if hours not in {offered for _, offered in strings.LIMITS}:
                raise BadRequest(strings.SHARING_UNKNOWN)
            wanted = asyncio.ensure_future(
                asyncio.to_thread(self._sharing.start, hours=hours, password=key.strip() or None)
            )
            # A moment for what fails at once; the link itself takes longer.
            await asyncio.wait({wanted}, timeout=0.1)
            try:
                if not wanted.done():
                    yield self.show()
                await wanted
            finally:
                yield self.show()

    async def stop(self) -> Updates:
        """Close link and page."""
        with plain_errors():
            await asyncio.to_thread(self._sharing.stop)
            return self.show()

    @plain_errors()
    def show(self) -> Updates:
        """Return how sharing is, whoever started or stopped it."""
        share = self._sharing.state()
        is_off = share.phase is Phase.OFF
        return {
            self._parts.shown: share_markup(share),
            self._parts.choices: gr.update(visible=is_off),
            self._parts.start: gr.update(visible=is_off),
            self._parts.stop: gr.update(visible=not is_off),
        }
