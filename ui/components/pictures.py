"""Where pictures to edit are dropped, pasted or chosen: the first is changed, others are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ui import edit_strings as words
from ui.markup import Markup, tag

MOST: Final = 3
TYPES: Final = "image/png,image/jpeg,image/webp"
PICTURES_SCRIPT: Final = (Path(__file__).parents[1] / "static" / "pictures.js").read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A picture on the page. name: as the engine keeps it; url: where the page serves it."""

    name: str
    url: str
    width: int
    height: int


def pictures_markup(given: tuple[Given, ...], *, several: bool) -> Markup:
    """Return the pictures, and the place for the next. several: the model reads more than one."""
    many = len(given) > 1
    cards = [_card(picture, index, many=many) for index, picture in enumerate(given)]
    if not given or (several and len(given) < MOST):
        cards.append(_place(first=not given))
    return tag("div", *cards, class_="pictures", role="group", aria_label=words.PICTURES)


def _card(picture: Given, index: int, *, many: bool) -> Markup:
    name = words.picture_number(index + 1)
    size = f"{picture.width} × {picture.height}"
    buttons = [_button("delete", "×", index, f"{words.REMOVE}: {name}")]
    if index:
        buttons.insert(0, _button("select", "⇤", index, f"{words.MAKE_FIRST}: {name}"))
    caption = tag("figcaption", tag("span", f"{name} · {size}" if many else size), *buttons)
    return tag("figure", tag("img", src=picture.url, alt=name), caption)


def _button(act: str, sign: str, index: int, name: str) -> Markup:
    return tag(
        "button", sign, type="button", data_act=act, data_index=index, aria_label=name, title=name
    )


def _place(*, first: bool) -> Markup:
    text = words.DROP_FIRST if first else words.DROP_MORE
    chooser = tag("input", type="file", accept=TYPES, multiple=True, aria_label=text)
    return tag("label", chooser, tag("span", text), class_="drop" if first else "drop more")
