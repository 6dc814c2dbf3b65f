"""Takes many pictures through the words of a form, or through the steps of a chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import gradio as gr

from engine import CONTACT_SHEET, BadRequest, Request, SeriesPlan, list_pictures, plan_batch
from ui import edit_strings as words
from ui.components.chain import View
from ui.components.ids import Ids
from ui.context import PageContext
from ui.handlers import QUIET
from ui.markup import tag
from ui.tabs.easel import Easel
from ui.tabs.series_panel import SeriesPanel, SeriesWords, Updates
from ui.uploads import uploaded
from ui.wording import requests_of

STEPS: Final = "steps"
TYPES: Final = [".png", ".jpg", ".jpeg", ".webp"]
WORDS: Final = SeriesWords(
    name="batch",
    start=words.BATCH_START,
    stop=words.BATCH_STOP,
    busy=words.BATCH_RUNS,
    busy_action=words.BATCH_RUNS_ACTION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchParts:
    """The components of a batch."""

    files: gr.File
    folder: gr.Textbox
    way: gr.Radio


class Batch:
    """The batch of a page's owner: one at a time, found again by every tab that is opened."""

    def __init__(self, page: PageContext, ids: Ids) -> None:
        self._page = page
        self._ids = ids

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
            )  # fmt: skip
            self.panel = SeriesPanel(self._page.engine, ids, WORDS)

    def connect(self, demo: gr.Blocks, easel: Easel, view: gr.State) -> None:
        """Connect the components with the form of the tab. view: the steps that are looked at."""
        parts, panel = self._parts, self.panel
        panel.start_button.click(
            self.start,
            [parts.files, parts.folder, parts.way, view],
            panel.shows,
            inputs_kwargs={**easel.form.fields, **easel.extras.fields},
            concurrency_limit=None,
            **QUIET,
        )
        panel.connect(demo)

    async def start(
        self, files: list[str] | None, folder: str, way: str, view: View, **values: object
    ) -> AsyncIterator[Updates]:
        """Start a batch of the pictures given, and show it until it ends."""

        def plan() -> SeriesPlan:
            pictures = _pictures(files or [], folder)
            steps = self._steps(way, view, values)
            self._page.admit(steps[0])
            return self._plan(pictures, steps)

        async for updates in self.panel.start(plan):
            yield updates

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
        return plan_batch(pictures, steps, folder, settings.file_type.suffix, CONTACT_SHEET)


def _pictures(files: list[str], folder: str) -> tuple[Path, ...]:
    """Return the pictures to edit; raise `NotFound` or `BadRequest` where there are none."""
    found = [uploaded(path) for path in files]
    if folder.strip():
        found.extend(list_pictures(Path(folder.strip()).expanduser()))
    if not found:
        raise BadRequest(words.BATCH_EMPTY, words.BATCH_EMPTY_ACTION)
    return tuple(found)
