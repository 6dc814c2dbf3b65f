"""Builds pages without serving them, and finds what answers in them."""

from __future__ import annotations

import asyncio

import gradio as gr

from ui import shell
from ui.context import PageContext


def built(page: PageContext) -> gr.Blocks:
    """Build a page; Gradio leaks an event loop for each lock it makes where none runs."""

    async def build() -> gr.Blocks:
        return shell.build_page(page)

    return asyncio.run(build())


def handlers_of(demo: gr.Blocks, kind: type):
    """Return the object whose methods the page calls."""
    found = [getattr(fn.fn, "__self__", None) for fn in demo.fns.values()]
    return next(owner for owner in found if isinstance(owner, kind))
