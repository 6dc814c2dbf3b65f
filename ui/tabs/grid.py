"""The X/Y grid: the form's picture over and over, with two of its values changed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import gradio as gr
from gradio.components import Component

from engine import (
    DRAWN_SEEDS,
    GRID_PARAMETERS,
    NO_STYLE,
    STYLE_AXIS,
    Axis,
    Presets,
    SeriesPlan,
    StudioError,
    labels_of,
    plan_grid,
)
from ui import presets_strings as words
from ui.components import forecast
from ui.components.ids import Ids
from ui.context import PageContext
from ui.handlers import QUIET, changes, on_any, plain_errors
from ui.markup import OPEN_SCRIPT, Markup, join, tag
from ui.tabs.series_panel import SeriesPanel, SeriesWords, Updates
from ui.wording import requests_of

WORDS: Final = SeriesWords(
    name="grid",
    start=words.PAINT_GRID,
    stop=words.STOP_GRID,
    busy=words.GRID_RUNS,
    busy_action=words.GRID_RUNS_ACTION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridParts:
    """The components of a grid. note: how many pictures it has, or why it cannot be."""

    across: gr.Dropdown
    across_values: gr.Textbox
    down: gr.Dropdown
    down_values: gr.Textbox
    note: gr.HTML
    panel: SeriesPanel

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
        self._parts = _build(page, ids)

    def connect(self, demo: gr.Blocks, fields: Mapping[str, Component]) -> None:
        """Connect the components with a form's. fields: what `ui.wording` reads, by name."""
        parts, panel = self._parts, self._parts.panel
        panel.start_button.click(
            self.start,
            parts.axes,
            panel.shows,
            inputs_kwargs={**fields},
            concurrency_limit=None,
            **QUIET,
        )
        panel.connect(demo)
        on_any(changes(parts.axes), self.foretell, parts.axes, [parts.note])

    @plain_errors()
    def foretell(self, across: str, across_values: str, down: str, down_values: str) -> Markup:
        """Say how many pictures the grid has; a value that cannot be gets its reason."""
        presets = self._page.presets
        titles = _titles(presets) if STYLE_AXIS in (across, down) else ""
        if not across_values.strip():
            return join(titles)
        try:
            columns, rows = (
                len(labels_of(axis, presets))
                for axis in (Axis(across, across_values), Axis(down, down_values))
            )
        except StudioError as error:
            return join(forecast.reason_markup(str(error)), titles)
        return join(tag("p", words.grid_size(columns, rows), class_="note"), titles)

    async def start(
        self, across: str, across_values: str, down: str, down_values: str, **values: object
    ) -> AsyncIterator[Updates]:
        """Paint a grid, and show it until it ends."""
        axes = Axis(across, across_values), Axis(down, down_values)
        async for updates in self._parts.panel.start(lambda: self._plan(values, *axes)):
            yield updates

    def _plan(self, values: Mapping[str, object], x: Axis, y: Axis) -> SeriesPlan:
        if STYLE_AXIS in (x.parameter, y.parameter):
            values = {**values, "style": ""}
        wanted = requests_of(self._page.presets, values)[0]
        if wanted.seed is None:
            wanted = wanted.with_values(seed=secrets.randbelow(DRAWN_SEEDS))
        folder = self._page.engine.settings.output_folder
        plan = plan_grid(wanted, x, y, folder, self._page.presets)
        for item in plan.items:
            self._page.admit(item.steps[0])
        return plan


def _titles(presets: Presets) -> Markup:
    """Return the titles of all styles, to be written along a side."""
    found, _ = presets.styles
    listed = "; ".join((NO_STYLE, *(style.title for style in found)))
    title = tag("summary", words.STYLES_TO_NAME)
    return tag("details", title, tag("p", listed, translate="no"), class_="note")


def _build(page: PageContext, ids: Ids) -> GridParts:
    with gr.Accordion(words.GRID, open=False, **ids.mark("grid")):
        note = tag("p", words.GRID_INFO, class_="note")
        gr.HTML(note, **ids.mark("grid-info"), apply_default_css=False)
        across, across_values = _axis(ids, "across", words.ACROSS, words.VALUES_ACROSS)
        down, down_values = _axis(ids, "down", words.DOWN, words.VALUES_DOWN)
        size = gr.HTML("", js_on_load=OPEN_SCRIPT, **ids.mark("grid-note"), apply_default_css=False)
        panel = SeriesPanel(page.engine, ids, WORDS)
    return GridParts(
        across=across, across_values=across_values, down=down, down_values=down_values, note=size,
        panel=panel,
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
