"""What starts, shows and stops a series: a batch of pictures, or an X/Y grid."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from engine import Axis, Presets, Series
from tests.ui.building import handlers_of
from tests.ui.test_handlers import fields, named, told_by
from ui import presets_strings as words
from ui import strings
from ui.tabs.grid import Grid


@pytest.fixture
def grid(demo) -> Grid:
    return handlers_of(demo, Grid)


def painting(grid, engine, values="1, 2"):
    """Return what paints a grid of seeds."""
    small = {"width": 64, "height": 64, "steps": 1, "style": "", "match": False}
    return grid.start("seed", values, "", "", **{**fields(engine), **small})


def told(updates) -> list[dict[str, object]]:
    return [named(None, one) for one in asyncio.run(told_by(updates))]


def test_a_grid_is_painted_and_shows_its_sheet(grid, engine):
    first, *_, last = told(painting(grid, engine))
    assert first["grid-start"]["visible"] is False and first["grid-stop"]["visible"] is True
    assert last["grid-start"]["visible"] is True and last["grid-stop"]["visible"] is False
    assert "2 of 2 pictures" in last["grid-told"] and "-sheet.png" in last["grid-told"]
    sheet = last["grid-told"].split("<figure>")[1]
    assert "frame" in sheet and strings.ENLARGE in sheet


def test_a_grid_of_styles_leaves_out_the_style_of_the_form(grid, engine):
    values = {**fields(engine), "prompt": "a hat", "style": "Macro", "match": False}
    plan = grid._plan(values, Axis("style", "none; Oil, old masters"), Axis())
    plain, oil = (item.steps[0].prompt for item in plan.items)
    assert plain == "a hat"
    assert oil == Presets().style("Oil, old masters").apply("a hat")


def test_a_sheet_that_is_elsewhere_now_is_not_shown(grid, engine):
    last = told(painting(grid, engine))[-1]
    assert told(grid._parts.panel.attach())[-1]["grid-told"] == last["grid-told"]
    grid._parts.panel.series.report.sheet.unlink()
    assert "<figure>" not in str(told(grid._parts.panel.attach())[-1]["grid-told"])


def test_of_two_tabs_that_start_at_once_the_second_is_refused(grid, engine):
    engine.go_on.clear()

    async def both() -> list[object]:
        handlers = [painting(grid, engine), painting(grid, engine)]
        found = await asyncio.gather(*map(anext, handlers), return_exceptions=True)
        for handler in handlers:
            await handler.aclose()
        return found

    refused = [one for one in asyncio.run(both()) if isinstance(one, gr.Error)]
    engine.go_on.set()
    assert [one.message for one in refused] == [f"{words.GRID_RUNS} {words.GRID_RUNS_ACTION}"]


def test_every_tab_sees_that_a_series_is_being_stopped(grid, engine):
    engine.go_on.clear()

    async def stopped() -> list[dict[str, object]]:
        mine = painting(grid, engine)
        await anext(mine)
        other = grid._parts.panel.attach()
        seen = [await anext(other)]
        grid._parts.panel.stop()
        asyncio.get_running_loop().call_later(1.0, engine.go_on.set)
        seen.extend([updates async for updates in other])
        await mine.aclose()
        return [named(None, updates)["grid-stop"] for updates in seen]

    seen = asyncio.run(stopped())
    assert seen[0]["visible"] is True and "value" not in seen[0]
    assert seen[1]["value"] == strings.CANCELLING and seen[1]["interactive"] is False
    assert seen[-1]["visible"] is False and seen[-1]["value"] == words.STOP_GRID


def test_after_a_series_that_could_not_start_another_can(grid, engine, monkeypatch):
    def fail(series: Series) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken, pytest.raises(gr.Error):
        broken.setattr(Series, "start", fail)
        told(painting(grid, engine))
    assert "2 of 2 pictures" in told(painting(grid, engine))[-1]["grid-told"]
