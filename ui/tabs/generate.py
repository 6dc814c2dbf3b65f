"""The Generate tab: words in, picture out."""

from __future__ import annotations

import gradio as gr

from ui import strings
from ui.components.form import Words
from ui.components.ids import Ids
from ui.context import PageContext
from ui.tabs.easel import Easel, Plan, build_easel, connect_easel

WORDS = Words(label=strings.PROMPT, hint=strings.PROMPT_HINT, button=strings.GENERATE)


def build_generate(page: PageContext, demo: gr.Blocks, status: gr.HTML) -> Easel:
    """Build the tab inside `demo` and connect it. status: tells when there is more to offer."""
    easel = build_easel(page, Ids(), Plan(words=WORDS))
    connect_easel(page, easel, demo, status)
    return easel
