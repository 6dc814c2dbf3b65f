"""What makes the page speak another language: a hidden part that every page has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import gradio as gr

from engine import Language
from ui.context import PageContext
from ui.handlers import on_any, plain_errors
from ui.languages import choose_language, words_of
from ui.markup import Markup, tag

SCRIPT: Final = Path(__file__).parents[1] / "static" / "language.js"


def build_language(page: PageContext, demo: gr.Blocks) -> gr.HTML:
    """Build the part and have every visit told its language; guests get their browser's."""
    spoken = gr.HTML(
        "",
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        elem_id="language-words",
        apply_default_css=False,
    )

    @plain_errors()
    def speak(request: gr.Request) -> Markup:
        wanted = page.engine.settings.language if page.owner else Language.AUTO
        return language_markup(choose_language(wanted, request.headers.get("accept-language", "")))

    on_any([demo.load, spoken.tick], speak, [], [spoken])
    return spoken


def language_markup(language: Language) -> Markup:
    """Return the language of the page and its words, which nobody sees."""
    words = json.dumps(words_of(language), ensure_ascii=False, separators=(",", ":"))
    return tag("div", data_language=str(language), data_words=words, hidden=True)
