"""The prompt's companions: examples to click, and what the model knows."""

from __future__ import annotations

from typing import Final

from engine import Variant
from ui import strings
from ui.markup import Markup, tag

CHIPS_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const chip = event.target.closest('[data-prompt]');
  if (chip) trigger('select', { prompt: chip.dataset.prompt });
});
"""


def chips_markup(variant: Variant) -> Markup:
    """Return the model's example prompts as buttons."""
    chips = [
        tag("button", tag("span", text), type="button", data_prompt=text, title=text)
        for text in variant.examples
    ]
    label = tag("span", strings.TRY_ONE, class_="hint")
    return tag("div", label, *chips, class_="chips", role="group", aria_label=strings.TRY_ONE)


def note_markup(variant: Variant, prompt: str) -> Markup:
    """Return what the model is, or which words of the prompt it never saw."""
    words = variant.unknown_words(prompt)
    if words:
        return tag("p", strings.unknown(words), class_="note warn", role="status")
    return tag("p", variant.summary, class_="note")
