"""What happens on the Inpaint tab: pictures arrive, settings come back, choices open others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import (
    Fill,
    Inputs,
    Request,
    StudioError,
    Task,
    read_recipe,
    request_from_recipe,
)
from ui import painter_strings as strings
from ui.components.painter import COLOURS, Painter
from ui.components.repaint import RepaintParts, repaint_updates
from ui.components.results import Shown
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup, file_url, tag
from ui.tabs.form_handlers import picture_at
from ui.tabs.sending import Arrival
from ui.uploads import uploaded

Updates = dict[Block, Any]


class InpaintHandlers:
    """The handlers of the tab."""

    def __init__(self, page: PageContext, painter: Painter, repaint: RepaintParts) -> None:
        self._page = page
        self.painter = painter
        self.repaint = repaint

    @property
    def arrival(self) -> Arrival:
        """How a picture of another tab arrives: on the canvas, without a mask."""
        return Arrival(take=self.take, outputs=[self.painter.mask])

    @property
    def restored(self) -> list[Block]:
        """What `given_back` changes."""
        return [self.painter.mask, *self.repaint.fields.values()]

    def take(self, path: Path) -> Updates:
        """Put a picture on the canvas; raise an error of the tree."""
        name = self._page.engine.keep_input(path)
        return self._sent(name, path)

    def given_back(self, request: Request) -> Updates:
        """Return the settings of a request, its picture and its masks; raise `NotFound`."""
        updates = repaint_updates(self.repaint, request)
        if request.images and request.task in {Task.AUTO, Task.INPAINT}:
            name = request.images[0]
            updates |= self._sent(name, self._kept(name), request)
        return updates

    @plain_errors()
    def recall(self, event: gr.EventData, shown: tuple[Shown, ...]) -> Updates:
        """Take the settings of a picture on the page."""
        return self._read(picture_at(event.index, shown).recipe)

    @plain_errors()
    def restore(self, event: gr.EventData) -> Updates:
        """Take the settings of a dropped picture."""
        return self._read(read_recipe(uploaded(event.path)))

    @plain_errors()
    def intend(self, event: gr.EventData, model: str) -> Markup:
        """Say what will be done with what is on the canvas, and why."""
        if not event.picture:
            return Markup("")
        if not (event.painted or event.extended):
            return tag("p", strings.NO_PAINT, class_="note")
        extend = (1, 0, 0, 0) if event.extended else (0, 0, 0, 0)
        wanted = Request(
            prompt="", model=model, task=Task.INPAINT, images=("picture",),
            mask="mask" if event.painted else None, extend=extend,
        )  # fmt: skip
        try:
            return tag("p", self._page.engine.intention(wanted), class_="note")
        except StudioError as error:
            return tag("p", str(error), class_="note warn")

    @plain_errors()
    def choose_fill(self, fill: str) -> Updates:
        """Show the colour only where one is asked for."""
        return {self.repaint.fill_colour: gr.update(visible=fill == Fill.COLOUR)}

    @plain_errors()
    def choose_part(self, masked_only: bool) -> Updates:
        """Show the surroundings only where a part is cut out."""
        return {self.repaint.context: gr.update(visible=masked_only)}

    def _read(self, recipe: Mapping[str, object]) -> Updates:
        request, _ = request_from_recipe(dict(recipe))
        return self.given_back(request)

    def _sent(self, name: str, path: Path, request: Request | None = None) -> Updates:
        """Return what has the browser show a picture, with the masks of a request."""
        masks = [] if request is None else self._masks(request)
        picture = {
            "name": name,
            "url": self._url(path),
            "masks": [{"url": self._url(self._kept(mask)), "prompt": text} for mask, text in masks],
            "extend": [0, 0, 0, 0] if request is None else list(request.extend),
            # The same picture may be sent twice, and must then be shown anew.
            "sent": secrets.token_hex(4),
        }
        return {self.painter.mask: gr.update(value="", picture=picture)}

    @staticmethod
    def _masks(request: Request) -> list[tuple[str, str]]:
        """Return masks and their prompts, one for each colour."""
        regions = [(region.mask, region.prompt) for region in request.regions]
        if request.mask is None or len(regions) == len(COLOURS):
            return regions
        return [(request.mask, ""), *regions]

    def _kept(self, name: str) -> Path:
        # By name alone: a recipe may come from anywhere, and must not name files of this computer.
        return Inputs(self._page.engine.settings.data_dir).path(name)

    def _url(self, path: Path) -> str:
        # A copy in the page's own cache: no other folder is served.
        return file_url(str(self.painter.mask.move_resource_to_block_cache(path)))
