"""What starts, shows and stops a series of pictures on the page of this computer's owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import Engine, QueueFull, Series, SeriesPlan, SeriesReport
from ui import strings
from ui.components.batch import BATCH_SCRIPT, batch_markup
from ui.components.ids import Ids
from ui.events import PACE_SECONDS
from ui.handlers import on, plain_errors
from ui.markup import file_url

Updates = dict[Block, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesWords:
    """What a series says. name: begins the ids of its parts. busy: that one is running already."""

    name: str
    start: str
    stop: str
    busy: str
    busy_action: str


class SeriesPanel:
    """One series at a time, found again by every tab that is opened.

    Its components are built inside the column that is open.
    """

    def __init__(self, engine: Engine, ids: Ids, words: SeriesWords) -> None:
        self._engine = engine
        self._words = words
        self._lock = threading.Lock()
        self.series: Series | None = None
        name = words.name
        with gr.Row(**ids.mark(f"{name}-buttons")):
            self.start_button = gr.Button(words.start, size="sm", **ids.mark(f"{name}-start"))
            self.stop_button = gr.Button(
                words.stop, variant="stop", size="sm", visible=False, **ids.mark(f"{name}-stop")
            )
        self.told = gr.HTML(
            "", js_on_load=BATCH_SCRIPT, **ids.mark(f"{name}-told"), apply_default_css=False
        )

    @property
    def shows(self) -> list[Block]:
        """All that changes with the series."""
        return [self.start_button, self.stop_button, self.told]

    def connect(self, demo: gr.Blocks) -> None:
        """Connect all but the start, which needs what the series is made of."""
        on(self.stop_button.click, self.stop, [], [self.stop_button], at_once=True)
        on(demo.load, self.attach, [], self.shows)

    async def start(self, make_plan: Callable[[], SeriesPlan]) -> AsyncIterator[Updates]:
        """Paint a plan and show it until it ends. make_plan: is called in a thread, and may raise
        an error of the tree."""
        with plain_errors():
            series = await asyncio.to_thread(self._started, make_plan)
            async for updates in self._watch(series):
                yield updates

    async def attach(self) -> AsyncIterator[Updates]:
        """Show the series that runs, or ended last, on a page that was loaded."""
        with plain_errors():
            if self.series is None or _left(self.series.report):
                yield {self.told: gr.skip()}
                return
            async for updates in self._watch(self.series):
                yield updates

    @plain_errors()
    def stop(self) -> dict[str, Any]:
        """Stop the series; who watches it shows when it has."""
        if self.series is not None:
            self.series.cancel()
        return _stopping()

    def _started(self, make_plan: Callable[[], SeriesPlan]) -> Series:
        """Return a series that runs. Of two tabs that ask at once, the second is refused."""
        with self._lock:
            if self.series is not None and not self.series.report.ended:
                raise QueueFull(self._words.busy, self._words.busy_action)
            series = Series(self._engine, make_plan())
            series.start()
            # Only now: one that never ran would never end, and none could follow it.
            self.series = series
        return series

    async def _watch(self, series: Series) -> AsyncIterator[Updates]:
        """Yield what the page shows of a series whenever it changed, until it has ended."""
        last: tuple[SeriesReport, bool] | None = None
        while not (report := series.report).ended:
            now = (report, series.stopping)
            if now != last:
                stop = _stopping() if series.stopping else gr.update(visible=True)
                yield {
                    self.start_button: gr.update(visible=False),
                    self.stop_button: stop,
                    self.told: batch_markup(report),
                }
            last = now
            await asyncio.sleep(PACE_SECONDS)
        url = ""
        if report.sheet is not None:
            url = file_url(str(self.told.move_resource_to_block_cache(report.sheet)))
        yield {
            self.start_button: gr.update(visible=True),
            self.stop_button: gr.update(visible=False, value=self._words.stop, interactive=True),
            self.told: batch_markup(report, sheet_url=url),
        }


def _left(report: SeriesReport) -> bool:
    """Say whether the sheet of a series went elsewhere, as it does with its folder."""
    return report.sheet is not None and not report.sheet.is_file()


def _stopping() -> dict[str, Any]:
    return dict(gr.update(visible=True, value=strings.CANCELLING, interactive=False))
