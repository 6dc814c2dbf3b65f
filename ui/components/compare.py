"""Two pictures, one over the other, with a slider between them."""

from __future__ import annotations

from typing import Final

from ui import edit_strings as words
from ui.components.pictures import Given
from ui.markup import Markup, tag

COMPARE_SCRIPT: Final = """
element.addEventListener('input', (event) => {
  const box = event.target.closest('.compare');
  if (box) box.style.setProperty('--at', `${event.target.value}%`);
});
"""


def compare_markup(
    before: Given | None,
    after: Given | None,
    titles: tuple[str, str] = (words.BEFORE, words.AFTER),
) -> Markup:
    """Return the slider; with one picture alone that picture, with none nothing.

    titles: what the two are called.
    """
    if after is None:
        return Markup("")
    top = tag("img", src=after.url, alt=titles[1], class_="after", draggable="false")
    if before is None:
        return tag("div", tag("div", top, class_="frame"), class_="compare single")
    under = tag("img", src=before.url, alt=titles[0], class_="before", draggable="false")
    slider = tag(
        "input", type="range", min=0, max=100, step="any", value=50, aria_label=words.SLIDER
    )
    signs = [
        tag("span", titles[0], class_="sign left", aria_hidden="true"),
        tag("span", titles[1], class_="sign right", aria_hidden="true"),
        tag("i", class_="line", aria_hidden="true"),
    ]
    frame = tag("div", under, top, *signs, slider, class_="frame")
    return tag("div", frame, class_="compare", role="group", aria_label=words.COMPARISON)
