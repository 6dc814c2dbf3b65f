"""Builds the page: header, tabs, and what makes it look and answer as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import gradio as gr

from ui import edit_strings, history_strings, painter_strings, strings
from ui.api import build_api
from ui.components import header, models
from ui.components.language import build_language
from ui.context import PageContext
from ui.frames import WholeFrames
from ui.handlers import on, plain_errors
from ui.markup import Markup
from ui.sharing import Phase
from ui.tabs.earlier import build_earlier, connect_earlier
from ui.tabs.easel import Easel
from ui.tabs.edit import build_edit
from ui.tabs.generate import build_generate
from ui.tabs.history import Studio, build_history, connect_history
from ui.tabs.inpaint import build_inpaint
from ui.tabs.keeping import connect_keeping
from ui.tabs.offers import connect_offers
from ui.tabs.queue_handlers import build_queue, connect_queue
from ui.tabs.sending import Arrival, connect_sending
from ui.tabs.settings import build_settings

STATIC: Final = Path(__file__).parent / "static"
CACHE_SECONDS: Final = (3600, 86400)
"""How often the page's cache is looked through, and how old a copy in it may become."""


def build_page(page: PageContext) -> gr.Blocks:
    """Build the page; the Settings tab is only there for the owner of this computer."""
    demo = WholeFrames(
        title=strings.PRODUCT,
        analytics_enabled=False,
        fill_width=True,
        delete_cache=CACHE_SECONDS,
    )
    # First, so that no handler of the page takes the name of an endpoint.
    build_api(page, demo)
    with demo:
        status = _build_header(page, demo)
        build_language(page, demo)
        queue, earlier = build_queue(), build_earlier()
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            easels, arrivals = _build_tabs(page, demo, status, tabs)
        connect_sending(easels, arrivals, tabs)
        connect_offers(page, easels, demo, status)
        _connect_tick(page, status, queue, easels[0].parts.visitor)
        connect_earlier(page, earlier, easels[0].parts.visitor)
        connect_keeping(page, demo, easels)
        demo.unload(_leaver(page))
    return demo


def _build_tabs(
    page: PageContext, demo: gr.Blocks, status: gr.HTML, tabs: gr.Tabs
) -> tuple[list[Easel], dict[str, Arrival]]:
    """Build the tabs; return those that paint, and how pictures arrive in those that take some."""
    easels, arrivals = list[Easel](), dict[str, Arrival]()
    with gr.Tab(strings.GENERATE, id="generate"):
        easels.append(build_generate(page, demo, status))
    with gr.Tab(edit_strings.EDIT, id="edit"):
        easel, arrivals["edit"] = build_edit(page, demo, status)
        easels.append(easel)
    with gr.Tab(painter_strings.INPAINT, id="inpaint"):
        inpaint = build_inpaint(page, demo, status)
        easels.append(inpaint.easel)
        arrivals["inpaint"] = inpaint.arrival
    with gr.Tab(history_strings.HISTORY, id="history") as tab:
        known = {easel.ids.tab: easel for easel in easels}
        studio = Studio(tabs=tabs, easels=known, arrivals=arrivals)
        connect_history(page, build_history(page), tab, studio)
    if page.owner:
        with gr.Tab(strings.SETTINGS, id="settings") as tab:
            build_settings(page, demo, tab)
    return easels, arrivals


def _build_header(page: PageContext, demo: gr.Blocks) -> gr.HTML:
    @plain_errors()
    def show_status() -> Markup:
        return _status(page)

    with gr.Row(elem_id="header"):
        gr.HTML(header.title_markup(), apply_default_css=False)
        status = gr.HTML(
            header.status_markup(page.engine.status(), live=False),
            js_on_load=header.STATUS_SCRIPT,
            elem_id="status",
            apply_default_css=False,
        )
    on(demo.load, show_status, [], [status], at_once=True)
    return status


def _status(page: PageContext) -> Markup:
    done = models.percent(page.engine.downloads.state()) if page.owner else None
    return header.status_markup(
        page.engine.status(),
        theme=str(page.engine.settings.theme),
        shelf=page.shelf.stamp(),
        news=strings.downloading(done) if done is not None else "",
        shared=page.sharing is not None and page.sharing.state().phase is Phase.ON,
    )


def _connect_tick(page: PageContext, status: gr.HTML, queue: gr.HTML, visitor: gr.State) -> None:
    """Show all that may change at any time with one question of the page. visitor: whose jobs."""
    jobs = connect_queue(page, queue, visitor)

    @plain_errors()
    def heed_tick(shown: str, known: tuple[str, str]) -> tuple[Markup, object]:
        # By its first tick the page stands, and the worker may take the processor.
        page.engine.wake()
        return _status(page), jobs.show(shown, known)

    on(status.tick, heed_tick, [queue, visitor], [status, queue], at_once=True)


def _leaver(page: PageContext) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        page.visitors.leave(str(request.session_hash))

    return leave
