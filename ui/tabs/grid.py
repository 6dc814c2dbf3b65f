"""The X/Y grid: the form's picture over and over, with two of its values changed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from engine import (
    GRID_PARAMETERS,
    Axis,
    BadRequest,
    QueueFull,
    Series,
    StudioError,
    labels_of,
    plan_grid,
)
from ui import presets_strings as words
from ui.components import forecast
from ui.components.batch import batch_markup
from ui.components.ids import Ids
from ui.context import PageContext
from ui.events import PACE_SECONDS
from ui.handlers import on, plain_errors
from ui.markup import Markup, file_url, tag
from ui.wording import DRAWN_SEEDS, requests_of

Updates = dict[Block, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridParts:
    """The components of a grid. note: how many pictures it has, or why it cannot be."""

    across: gr.Dropdown
    across_values: gr.Textbox
    down: gr.Dropdown
    down_values: gr.Textbox
    note: gr.HTML
    start: gr.Button
    stop: gr.Button
    told: gr.HTML

    @property
    def axes(self) -> list[Component]:
        """What says how the grid changes."""
        return [self.across, self.across_values, self.down, self.down_values]


class Grid:
    """The grid of a tab of the owner's page: one at a time, found again by every page opened.

    Its components are built inside the column that is open.
    """

    def __init__(self, page: PageContext, ids: Ids) -> None:
        self._page = page
        self._series: Series | None = None
        self._parts = _build(ids)

    def connect(self, demo: gr.Blocks, fields: Mapping[str, Component]) -> None:
        """Connect the components with a form's. fields: what `ui.wording` reads, by name."""
        parts = self._parts
        shows: list[Block] = [parts.start, parts.stop, parts.told, parts.note]
        parts.start.click(
            self.start,
            parts.axes,
            shows,
            inputs_kwargs={**fields},
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )
        on(parts.stop.click, self.stop, [], [parts.stop], at_once=True)
        on(demo.load, self.attach, [], shows)
        gr.on(
            [getattr(one, "change") for one in parts.axes],  # noqa: B009
            self.foretell,
            parts.axes,
            [parts.note],
            queue=False,
            trigger_mode="always_last",
            show_progress="hidden",
            api_visibility="private",
        )

    @plain_errors()
    def foretell(self, across: str, across_values: str, down: str, down_values: str) -> Markup:
        """Say how many pictures the grid has; a value that cannot be gets its reason."""
        if not across_values.strip():
            return Markup("")
        try:
            columns, rows = (
                len(labels_of(axis))
                for axis in (Axis(across, across_values), Axis(down, down_values))
            )
        except StudioError as error:
            return forecast.reason_markup(str(error))
        return tag("p", words.grid_size(columns, rows), class_="note")

    async def start(
        self, across: str, across_values: str, down: str, down_values: str, **values: object
    ) -> AsyncIterator[Updates]:
        """Paint a grid, and show it until it ends."""
        with plain_errors():
            if self._series is not None and not self._series.report.ended:
                raise QueueFull(words.GRID_RUNS, words.GRID_RUNS_ACTION)
            axes = Axis(across, across_values), Axis(down, down_values)
            self._series = await asyncio.to_thread(self._started, values, *axes)
            async for updates in self._watch(self._series):
                yield updates

    async def attach(self) -> AsyncIterator[Updates]:
        """Show the grid that runs, or ended last, on a page that was loaded."""
        with plain_errors():
            if self._series is None:
                yield dict(gr.skip())
                return
            async for updates in self._watch(self._series):
                yield updates

    @plain_errors()
    def stop(self) -> dict[str, Any]:
        """Stop the grid; who watches it shows when it has."""
        if self._series is not None:
            self._series.cancel()
        return dict(gr.update(value=words.STOPPING, interactive=False))

    def _started(self, values: Mapping[str, object], x: Axis, y: Axis) -> Series:
        if not self._page.owner:
            raise BadRequest(words.FOREIGN_GRID)
        wanted = requests_of(self._page.presets, values)[0]
        if wanted.seed is None:
            wanted = wanted.with_values(seed=secrets.randbelow(DRAWN_SEEDS))
        plan = plan_grid(wanted, x, y, self._page.engine.settings.output_folder)
        for item in plan.items:
            self._page.admit(item.steps[0])
        series = Series(self._page.engine, plan)
        series.start()
        return series

    async def _watch(self, series: Series) -> AsyncIterator[Updates]:
        """Yield what the page shows of a grid whenever it changed, until it has ended."""
        parts, last = self._parts, None
        while not (report := series.report).ended:
            if report is not last:
                yield {
                    parts.start: gr.update(visible=False),
                    parts.stop: gr.update(visible=True),
                    parts.told: batch_markup(report),
                }
            last = report
            await asyncio.sleep(PACE_SECONDS)
        url = ""
        if report.sheet is not None:
            url = file_url(str(parts.told.move_resource_to_block_cache(report.sheet)))
        yield {
            parts.start: gr.update(visible=True),
            parts.stop: gr.update(visible=False, value=words.STOP_GRID, interactive=True),
            parts.told: batch_markup(report, sheet_url=url),
        }


def _build(ids: Ids) -> GridParts:
    with gr.Accordion(words.GRID, open=False, **ids.mark("grid")):
        note = tag("p", words.GRID_INFO, class_="note")
        gr.HTML(note, **ids.mark("grid-info"), apply_default_css=False)
        across, across_values = _axis(ids, "across", words.ACROSS, words.VALUES_ACROSS)
        down, down_values = _axis(ids, "down", words.DOWN, words.VALUES_DOWN)
        size = gr.HTML("", **ids.mark("grid-note"), apply_default_css=False)
        with gr.Row(**ids.mark("grid-buttons")):
            start = gr.Button(words.PAINT_GRID, size="sm", **ids.mark("grid-start"))
            stop = gr.Button(
                words.STOP_GRID, variant="stop", size="sm", visible=False, **ids.mark("grid-stop")
            )
        told = gr.HTML("", **ids.mark("grid-told"), apply_default_css=False)
    return GridParts(
        across=across, across_values=across_values, down=down, down_values=down_values, note=size,
        start=start, stop=stop, told=told,
    )  # fmt: skip


def _axis(ids: Ids, name: str, label: str, values: str) -> tuple[gr.Dropdown, gr.Textbox]:
    """Build the two widgets of one side of a grid."""
    offered = [(words.PARAMETERS[one], one) for one in GRID_PARAMETERS]
    with gr.Row(**ids.mark("grid-row")):
        parameter = gr.Dropdown(
            label=label,
            choices=[(words.NOTHING, ""), *offered],
            value="",
            min_width=140,
            **ids.mark(f"grid-{name}"),
        )
        text = gr.Textbox(
            label=values,
            placeholder=words.VALUES_HINT,
            max_lines=1,
            max_length=2000,
            min_width=160,
            **ids.mark(f"grid-{name}-values"),
        )
    return parameter, text
