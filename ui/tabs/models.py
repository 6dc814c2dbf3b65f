"""The models of the Settings tab: fetching them, and keeping the list of the owner's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import BadRequest, CancelledError, DiskError, DownloadPlan, Precision
from ui import strings
from ui.components import models
from ui.context import PageContext
from ui.handlers import on, on_any, plain_errors
from ui.markup import Markup, join, tag

Updates = dict[Block, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """The components. plan: a download that the owner looks at before agreeing, or None."""

    list: gr.HTML
    download: gr.HTML
    path: gr.Textbox
    plan: gr.State


def build_models(page: PageContext, tab: gr.Tab) -> None:
    """Build the list of models, empty until the tab is opened, and connect it."""
    with gr.Column(elem_classes="card", elem_id="models-card"):
        gr.HTML(tag("h2", strings.MODELS), apply_default_css=False)
        download = gr.HTML(
            "", js_on_load=models.DOWNLOAD_SCRIPT, elem_id="download", apply_default_css=False
        )
        shown = gr.HTML(
            "", js_on_load=models.LIST_SCRIPT, elem_id="models", apply_default_css=False
        )
        with gr.Row(elem_id="add-model-row"):
            path = gr.Textbox(
                label=strings.ADD_MODEL,
                info=strings.ADD_MODEL_INFO,
                max_lines=1,
                scale=3,
                min_width=200,
                elem_id="model-path",
            )
            add = gr.Button(strings.ADD, size="sm", scale=1, min_width=72, elem_id="add-model")
    parts = ModelParts(list=shown, download=download, path=path, plan=gr.State(None))
    handlers = ModelHandlers(page, parts)
    seen = [parts.list, parts.download, parts.plan]
    news = [tab.select, parts.download.tick]
    on_any(news, handlers.show, [parts.plan], [parts.list, parts.download])
    on(parts.list.select, handlers.act, [parts.plan], seen)
    on(parts.download.select, handlers.steer, [parts.plan], seen)
    for event in (add.click, path.submit):
        on(event, handlers.add, [path], [parts.path, parts.list])


class ModelHandlers:
    """The handlers of the list. What a download does is kept by the engine, not by the page."""

    def __init__(self, page: PageContext, parts: ModelParts) -> None:
        self._page = page
        self._parts = parts
        self._stop = threading.Event()

    @plain_errors()
    def show(self, plan: DownloadPlan | None) -> Updates:
        """Return the models and the download; `plan` waits for the owner's yes."""
        return self._shown(plan)

    def act(self, event: gr.EventData, plan: DownloadPlan | None) -> Iterator[Updates]:
        """Plan to fetch a model, or take one off the list."""
        with plain_errors():
            if event.act == "remove":
                self._page.engine.catalogue.remove(str(event.name))
                self._page.shelf.change()
                yield self._shown(plan)
                return
            yield self._searching()
            try:
                found = self._planned(str(event.name), _precision(event.precision))
            except Exception:
                # What was shown meanwhile must not stay for ever.
                yield self._shown(None) | {self._parts.plan: None}
                raise
            yield self._shown(found) | {self._parts.plan: found}

    @plain_errors()
    def steer(self, event: gr.EventData, plan: DownloadPlan | None) -> Updates:
        """Begin the planned download, or pause, resume or end the one that runs."""
        downloads = self._page.engine.downloads
        match event.act:
            case "start" if plan is not None:
                downloads.start(plan)
                plan = None
            case "forget":
                self._stop.set()
                plan = None
            case "pause":
                downloads.pause()
            case "resume":
                downloads.resume()
            case "cancel":
                downloads.cancel()
        return self._shown(plan) | {self._parts.plan: plan}

    @plain_errors()
    def add(self, text: str) -> Updates:
        """Put a file or folder on the list."""
        path = text.strip().strip('"')
        if not path:
            raise BadRequest(strings.NO_PATH, strings.FULL_PATH)
        self._page.engine.catalogue.add(Path(path).expanduser())
        self._page.shelf.change()
        return {self._parts.path: "", self._parts.list: self._list()}

    def _planned(self, name: str, precision: Precision) -> DownloadPlan | None:
        """Plan a download, which looks at large files that are here; None once the owner stops."""
        stop = self._stop = threading.Event()
        try:
            return self._page.engine.plan_download(name, precision, cancelled=stop.is_set)
        except CancelledError:
            return None

    def _shown(self, plan: DownloadPlan | None) -> Updates:
        state = self._page.engine.downloads.state()
        planned = [models.plan_markup(plan, _lack(plan))] if plan is not None else []
        return {
            self._parts.list: self._list(),
            self._parts.download: join(models.download_markup(state), *planned),
        }

    def _searching(self) -> Updates:
        state = models.download_markup(self._page.engine.downloads.state())
        return {self._parts.download: join(state, models.search_markup())}

    def _list(self) -> Markup:
        return models.list_markup(self._page.shelf.models())


def _precision(value: object) -> Precision:
    if not isinstance(value, str) or value not in set(Precision):
        raise BadRequest(strings.UNKNOWN_CHOICE, strings.UNKNOWN_CHOICE_ACTION)
    return Precision(value)


def _lack(plan: DownloadPlan) -> str:
    """Say what the disk lacks for a download, nothing where there is room."""
    try:
        plan.check_space()
    except DiskError as error:
        return str(error)
    return ""
