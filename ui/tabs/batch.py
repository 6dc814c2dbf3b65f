"""Takes many pictures through the words of a form, or through the steps of a chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block

from engine import (
    BadRequest,
    QueueFull,
    Request,
    Series,
    SeriesPlan,
    list_pictures,
    plan_batch,
)
from ui import edit_strings as words
from ui.components.batch import batch_markup
from ui.components.chain import View
from ui.components.ids import Ids
from ui.context import PageContext
from ui.events import PACE_SECONDS
from ui.handlers import on, plain_errors
from ui.markup import Markup, file_url, tag
from ui.tabs.easel import Easel
from ui.uploads import uploaded
from ui.wording import requests_of

Updates = dict[Block, Any]

SHEET: Final = "contact-sheet.jpg"
STEPS: Final = "steps"
TYPES: Final = [".png", ".jpg", ".jpeg", ".webp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchParts:
    """The components of a batch."""

    files: gr.File
    folder: gr.Textbox
    way: gr.Radio
    start: gr.Button
    stop: gr.Button
    told: gr.HTML


class Batch:
    """The batch of a page's owner: one at a time, found again by every tab that is opened."""

    def __init__(self, page: PageContext, ids: Ids) -> None:
        self._page = page
        self._ids = ids
        self._series: Series | None = None

    def build(self) -> None:
        """Build the components, inside the column that is open."""
        ids = self._ids
        with gr.Accordion(words.BATCH, open=False, **ids.mark("batch")):
            gr.HTML(tag("p", words.BATCH_INFO, class_="note"), apply_default_css=False)
            self._parts = BatchParts(
                files=gr.File(
                    label=words.BATCH_FILES, file_count="multiple", file_types=TYPES,
                    type="filepath", height=140, **ids.mark("batch-files"),
                ),
                folder=gr.Textbox(
                    label=words.BATCH_FOLDER, placeholder=words.BATCH_FOLDER_HINT, max_lines=1,
                    **ids.mark("batch-folder"),
                ),
                way=gr.Radio(
                    label=words.BATCH_WAY, choices=list(words.BATCH_WAYS), value="words",
                    **ids.mark("batch-way"),
                ),
                start=gr.Button(words.BATCH_START, **ids.mark("batch-start")),
                stop=gr.Button(
                    words.BATCH_STOP, variant="stop", visible=False, **ids.mark("batch-stop")
                ),
                told=gr.HTML("", **ids.mark("batch-told"), apply_default_css=False),
            )  # fmt: skip

    def connect(self, demo: gr.Blocks, easel: Easel, view: gr.State) -> None:
        """Connect the components with the form of the tab. view: the steps that are looked at."""
        parts = self._parts
        shows: list[Block] = [parts.start, parts.stop, parts.told]
        parts.start.click(
            self.start,
            [parts.files, parts.folder, parts.way, view],
            shows,
            inputs_kwargs={**easel.form.fields, **easel.extras.fields},
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )
        on(parts.stop.click, self.stop, [], [parts.stop], at_once=True)
        on(demo.load, self.attach, [], shows)

    async def start(
        self, files: list[str] | None, folder: str, way: str, view: View, **values: object
    ) -> AsyncIterator[Updates]:
        """Start a batch of the pictures given, and show it until it ends."""
        with plain_errors():
            if self._series is not None and not self._series.report.ended:
                raise QueueFull(words.BATCH_RUNS, words.BATCH_RUNS_ACTION)
            pictures = await asyncio.to_thread(_pictures, files or [], folder)
            steps = self._steps(way, view, values)
            self._page.admit(steps[0])
            self._series = Series(self._page.engine, self._plan(pictures, steps))
            self._series.start()
            async for updates in self._watch(self._series):
                yield updates

    async def attach(self) -> AsyncIterator[Updates]:
        """Show the batch that runs, or ended last, on a page that was loaded."""
        with plain_errors():
            if self._series is None:
                yield {self._parts.told: gr.skip()}
                return
            async for updates in self._watch(self._series):
                yield updates

    @plain_errors()
    def stop(self) -> dict[str, Any]:
        """Stop the batch; who watches it shows when it has."""
        if self._series is not None:
            self._series.cancel()
        return gr.update(value=words.BATCH_STOPPING, interactive=False)

    def _steps(self, way: str, view: View, values: dict[str, object]) -> tuple[Request, ...]:
        """Return what every picture is taken through; raise an error of the tree."""
        if way == STEPS:
            return view.chain.replay(view.chosen())
        wanted = requests_of(self._page.presets, values)[0]
        if values.get("match"):
            # Each picture has a size of its own, whatever stands on the page.
            wanted = wanted.with_values(width=None, height=None)
        return (wanted,)

    def _plan(self, pictures: tuple[Path, ...], steps: tuple[Request, ...]) -> SeriesPlan:
        settings = self._page.engine.settings
        folder = settings.output_folder / f"batch-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
        return plan_batch(pictures, steps, folder, settings.file_type.suffix, SHEET)

    async def _watch(self, series: Series) -> AsyncIterator[Updates]:
        """Yield what the page shows of a batch whenever it changed, until it has ended."""
        last = None
        while (report := series.report) is last or not report.ended:
            if report is not last:
                yield self._running(batch_markup(report))
            last = report
            await asyncio.sleep(PACE_SECONDS)
        url = ""
        if report.sheet is not None:
            copy = self._parts.told.move_resource_to_block_cache(report.sheet)
            url = file_url(str(copy))
        yield self._idle(batch_markup(report, sheet_url=url))

    def _running(self, told: Markup) -> Updates:
        stop = gr.update(visible=True)
        if self._series is not None and self._series.stopping:
            stop = gr.update(visible=True, value=words.BATCH_STOPPING, interactive=False)
        return {
            self._parts.start: gr.update(visible=False),
            self._parts.stop: stop,
            self._parts.told: told,
        }

    def _idle(self, told: Markup) -> Updates:
        return {
            self._parts.start: gr.update(visible=True),
            self._parts.stop: gr.update(visible=False, value=words.BATCH_STOP, interactive=True),
            self._parts.told: told,
        }


def _pictures(files: list[str], folder: str) -> tuple[Path, ...]:
    """Return the pictures to edit; raise `NotFound` or `BadRequest` where there are none."""
    found = [uploaded(path) for path in files]
    if folder.strip():
        found.extend(list_pictures(Path(folder.strip()).expanduser()))
    if not found:
        raise BadRequest(words.BATCH_EMPTY, words.BATCH_EMPTY_ACTION)
    return tuple(found)
