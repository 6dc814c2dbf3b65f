"""Styles, word lists, and what a model reads of the words in a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from engine import MOST_TOKENS, TRAINED_TOKENS, LongPrompt, Presets, Reading, Style
from ui import presets_strings as words
from ui.components.ids import Ids
from ui.markup import Markup, join, tag

EXAMPLES: Final = 3
"""Pictures whose words are shown where lists are drawn from."""

MAX_SHOWN: Final = 400
READING_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const again = event.target.closest('[data-draw]');
  if (again) trigger('select', { draw: Number(again.dataset.draw) });
});
"""
LISTS_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const list = event.target.closest('[data-list]');
  if (list) trigger('select', { list: list.dataset.list });
});
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingParts:
    """What stands below a prompt. told: how it is read. long_prompt: what becomes of a long one."""

    told: gr.HTML
    long_prompt: gr.Radio


@dataclass(frozen=True, slots=True, kw_only=True)
class StylesParts:
    """The picker of styles. note: what one adds. use: takes its settings. lists: of words."""

    style: gr.Dropdown
    note: gr.HTML
    use: gr.Button
    lists: gr.HTML


def build_reading(ids: Ids) -> ReadingParts:
    """Build what stands below a prompt."""
    told = gr.HTML("", js_on_load=READING_SCRIPT, **ids.mark("reading"), apply_default_css=False)
    way = gr.Radio(
        label=words.LONG_PROMPT,
        info=words.LONG_PROMPT_INFO,
        choices=list(words.LONG_PROMPT_CHOICES),
        value=LongPrompt.CUT.value,
        visible=False,
        **ids.mark("long-prompt"),
    )
    return ReadingParts(told=told, long_prompt=way)


def build_styles(presets: Presets, ids: Ids) -> StylesParts:
    """Build the picker of styles."""
    with gr.Column(elem_classes="card", elem_id=ids("styles")):
        style = gr.Dropdown(
            label=words.STYLE, info=words.STYLE_INFO, **style_choices(presets), **ids.mark("style")
        )
        note = gr.HTML("", **ids.mark("style-note"), apply_default_css=False)
        use = gr.Button(words.STYLE_SETTINGS, size="sm", visible=False, **ids.mark("style-use"))
        lists = gr.HTML(
            lists_markup(presets.wildcards.names),
            js_on_load=LISTS_SCRIPT,
            **ids.mark("lists"),
            apply_default_css=False,
        )
    return StylesParts(style=style, note=note, use=use, lists=lists)


def style_choices(presets: Presets, chosen: str = "") -> dict[str, Any]:
    """Return the choices of the picker, and which one is chosen."""
    found, _ = presets.styles
    offered = [(f"{style.group} · {style.title}", style.title) for style in found]
    return {"choices": [(words.NO_STYLE, ""), *offered], "value": chosen}


def style_markup(style: Style | None) -> Markup:
    """Return what a style adds to a prompt."""
    if style is None:
        return Markup("")
    before, after = style.apply("\0").split("\0")
    slot = tag("em", "[", tag("span", words.YOUR_PROMPT), "]")
    told = [tag("p", _own(before), slot, _own(after), class_="note")]
    if style.negative:
        told.append(tag("p", words.STYLE_NEGATIVE, _own(style.negative), class_="note"))
    return join(*told)


def _own(text: str) -> Markup:
    """Return words that are painted by, which no language changes."""
    return tag("span", text, translate="no")


def lists_markup(names: Sequence[str]) -> Markup:
    """Return the word lists as buttons, folded away."""
    chips = [tag("button", f"__{name}__", type="button", data_list=name) for name in names]
    return tag(
        "details",
        tag("summary", words.WORD_LISTS),
        tag("p", words.WORD_LISTS_INFO, class_="hint"),
        tag("div", *chips, class_="actions"),
        class_="lists",
    )


def reading_markup(
    reading: Reading | None, way: LongPrompt, shown: Sequence[str], draw: int
) -> Markup:
    """Return how a prompt is read.

    reading: its tokens, None where the model cannot count them. shown: what was drawn of its word
    lists, for the seed or as examples, the next of which begin with `draw`, a seed.
    """
    told = []
    if reading is not None:
        told.append(_tokens(reading, MOST_TOKENS if way is LongPrompt.FULL else TRAINED_TOKENS))
    if shown:
        told.append(_shown(shown, draw))
    return tag("div", *told, class_="reading") if told else Markup("")


def _tokens(reading: Reading, limit: int) -> Markup:
    long = reading.total > TRAINED_TOKENS
    counted = tag("p", words.tokens(reading.total, limit), class_="note tokens")
    notice = tag("p", reading.notice or "", class_="note warn", role="status", hidden=not long)
    return join(counted, notice)


def _shown(shown: Sequence[str], draw: int) -> Markup:
    lines = [
        tag("li", text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…") for text in shown
    ]
    several = len(shown) > 1
    again = tag("button", words.OTHER_EXAMPLES, type="button", data_draw=draw)
    return tag(
        "div",
        tag("p", words.FOR_EXAMPLE if several else words.DRAWN, class_="note"),
        tag("ul", *lines, translate="no"),
        tag("div", again, class_="actions", hidden=not several),
        class_="wording",
    )
