"""Sends a picture from the results of one tab to another tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from engine import NotFound
from ui import strings
from ui.components.results import Shown
from ui.handlers import on, plain_errors
from ui.tabs.easel import Easel
from ui.tabs.form_handlers import picture_at

EVENTS: Final[Mapping[str, str]] = {"edit": "edit", "inpaint": "apply"}
"""The event that the results trigger for each tab that takes pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """How a tab sends a picture that is none of its results: an event, and whose file is meant."""

    event: Callable[..., Dependency]
    file: Callable[[Any], Path]
    of: Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a tab takes a picture.

    take: turns a picture's file, and what `inputs` hold, into updates of `outputs` by component.
    sends: what else than its results it sends to other tabs, by their ids.
    """

    take: Callable[..., dict[Block, Any]]
    outputs: list[Block]
    inputs: list[Component] = field(default_factory=list)
    sends: Mapping[str, Leaving] = field(default_factory=dict)


def connect_sending(easels: list[Easel], arrivals: Mapping[str, Arrival], tabs: gr.Tabs) -> None:
    """Connect the results of every easel with every tab that takes pictures, by the tab's id."""
    for easel in easels:
        for tab, arrival in arrivals.items():
            event = getattr(easel.parts.results, EVENTS[tab])
            given = [easel.parts.shown, *arrival.inputs]
            on(event, _sender(tab, arrival, tabs), given, [tabs, *arrival.outputs])
    for source in arrivals.values():
        for tab, leaving in source.sends.items():
            arrival = arrivals[tab]
            given = [leaving.of, *arrival.inputs]
            on(leaving.event, _other(tab, leaving, arrival, tabs), given, [tabs, *arrival.outputs])


def _other(
    tab: str, leaving: Leaving, arrival: Arrival, tabs: gr.Tabs
) -> Callable[..., dict[Block, Any]]:
    @plain_errors()
    def send(held: object, *given: object) -> dict[Block, Any]:
        return {tabs: gr.Tabs(selected=tab), **arrival.take(leaving.file(held), *given)}

    return send


def _sender(tab: str, arrival: Arrival, tabs: gr.Tabs) -> Callable[..., dict[Block, Any]]:
    @plain_errors()
    def send(event: gr.EventData, shown: tuple[Shown, ...], *given: object) -> dict[Block, Any]:
        picture = picture_at(event.index, shown)
        return {tabs: gr.Tabs(selected=tab), **arrival.take(_file(picture), *given)}

    return send


def _file(picture: Shown) -> Path:
    if not picture.path.is_file():
        raise NotFound(strings.PICTURE_GONE.format(name=picture.name), strings.GONE_ACTION)
    return picture.path
