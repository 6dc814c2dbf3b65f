"""What the painter looks like: its tools, its canvas, its colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine import MAX_EXTENSION, MAX_FEATHER
from ui import painter_strings as strings
from ui.markup import Markup, tag

MAX_BRUSH: Final = 1024
MAX_REGION_PROMPT: Final = 10_000
ICONS: Final[Mapping[str, str]] = {
    "brush": "M9 14.5 18.6 4.9a1.7 1.7 0 0 1 2.4 2.4L11.5 17M9 14.5a3.5 3.5 0 0 1 1.5 5.5"
    "C8 21.7 5 21.3 3 20c2-1 2-2.5 2.5-4A3.5 3.5 0 0 1 9 14.5z",
    "lasso": "M8 16c-3-1-5-3-5-5.5C3 7 7 4.5 12 4.5S21 7 21 10.5 17 16.5 12 16.5c-1.5 0-3-.2-4-.5z"
    "m0 0c-1.5-.5-3 .5-3 2s1.5 2 2.5 1.5S9 17 8 16z",
    "box": "M4 8V5h3m4 0h2m4 0h3v3m0 4v2m0 4v1h-3m-4 0h-2m-4 0H4v-3m0-4v-2",
    "hand": "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5m-5 13L12 21l2.5-2.5m-9-9L3 12l2.5 2.5"
    "m13-5L21 12l-2.5 2.5",
    "erase": "m5.5 13.5 8-8a2 2 0 0 1 2.8 0l3.2 3.2a2 2 0 0 1 0 2.8L12 19H8l-2.5-2.5a2 2 0 0 1 0-3z"
    "m4-4 6 6M6 21.5h13",
    "undo": "M8 5 4 9l4 4M4 9h10a5 5 0 0 1 0 10H9",
    "redo": "m16 5 4 4-4 4m4-4H10a5 5 0 0 0 0 10h5",
    "in": "M12 5v14M5 12h14",
    "out": "M5 12h14",
    "fit": "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
    "remove": "m6 6 12 12M18 6 6 18",
}
"""Lines of each sign, in a square of 24."""


def painter_markup(colours: Sequence[str]) -> Markup:
    """Return the painter, without a picture yet.

    It is a template, where `$`, `{` and backticks would mean something.
    """
    return tag(
        "div", _tools(), _area(), _status(), _layers(colours), _actions(), _extension(),
        class_="painter blank",
    )  # fmt: skip


def _tools() -> Markup:
    tools = [
        _button(name, title, data_tool=name, aria_pressed="false")
        for name, title in strings.TOOL_NAMES.items()
    ]
    tools.append(_button("erase", strings.ERASE, aria_pressed="false"))
    size = tag(
        "label", tag("span", strings.SIZE),
        _range("size", strings.SIZE_OF, low=1, high=400, value=64),
        _number("size", strings.SIZE_OF, high=MAX_BRUSH, low=1, value=64),
        class_="slide",
    )  # fmt: skip
    soft = tag(
        "label", tag("span", strings.SOFT), _range("soft", strings.SOFT_OF, high=100),
        class_="slide short",
    )  # fmt: skip
    history = [_button("undo", strings.UNDO), _button("redo", strings.REDO)]
    return tag(
        "div", _group(tools), _group(history), size, soft,
        role="toolbar", class_="tools", aria_label=strings.TOOLS,
    )  # fmt: skip


def _area() -> Markup:
    chooser = tag(
        "input", type="file", accept="image/png,image/jpeg,image/webp", data_field="picture"
    )
    invitation = tag(
        "label", chooser, tag("strong", strings.DROP), tag("span", strings.DROP_HINT), class_="drop"
    )
    canvases = [tag("canvas", data_canvas=name) for name in ("picture", "ink")]
    lines = tag("svg", aria_hidden="true")
    return tag(
        "div", *canvases, lines, invitation,
        class_="area", tabindex=0, role="application", aria_label=strings.AREA,
    )  # fmt: skip


def _status() -> Markup:
    zoom = [
        _button("out", strings.ZOOM_OUT),
        tag(
            "button", "100 %", type="button", class_="zoom", data_act="exact", data_zoom=True,
            title=strings.ZOOM_EXACT,
        ),
        _button("in", strings.ZOOM_IN),
        _button("fit", strings.ZOOM_FIT),
        _button("remove", strings.REMOVE),
    ]  # fmt: skip
    share = tag("span", class_="facts", data_share=True)
    return tag(
        "div",
        tag("div", share, tag("div", *zoom, class_="group"), class_="under"),
        tag("p", class_="note", data_note=True, role="status"),
    )


def _layers(colours: Sequence[str]) -> Markup:
    chips = [
        tag(
            "button", str(number), type="button", class_="colour", style=f"--colour: {colour}",
            data_layer=number - 1, title=strings.LAYER.format(number),
            aria_label=strings.LAYER.format(number), aria_pressed="false",
        )
        for number, colour in enumerate(colours, 1)
    ]  # fmt: skip
    prompt = tag(
        "input", type="text", data_field="prompt", maxlength=MAX_REGION_PROMPT,
        placeholder=strings.LAYER_PROMPT_HINT, aria_label=strings.LAYER_PROMPT,
    )  # fmt: skip
    group = tag("div", *chips, class_="group", role="group", aria_label=strings.LAYERS)
    return tag("div", group, prompt, class_="layers")


def _actions() -> Markup:
    changes = [
        tag("button", text, type="button", data_act=act, title=title)
        for act, text, title in strings.ACTIONS
    ]
    amount = _number("amount", strings.AMOUNT, low=1, high=MAX_FEATHER, value=8)
    clear = tag("button", strings.CLEAR, type="button", data_act="clear", title=strings.CLEAR_OF)
    chooser = tag("input", type="file", accept="image/*", data_field="mask")
    load = tag("label", chooser, strings.LOAD, title=strings.LOAD_OF, class_="load")
    save = tag("button", strings.SAVE, type="button", data_act="save")
    return tag("div", *changes, amount, clear, load, save, class_="actions")


def _extension() -> Markup:
    sides = [
        tag("label", tag("span", title), _number(side, title, high=MAX_EXTENSION, step=16))
        for side, title in strings.SIDES.items()
    ]
    shapes = [tag("option", title, value=ratio) for ratio, title in strings.RATIOS]
    shape = tag("label", tag("span", strings.RATIO), tag("select", *shapes, data_field="ratio"))
    extension = tag(
        "details",
        tag("summary", strings.EXTEND),
        tag("p", strings.EXTEND_INFO, class_="hint"),
        tag("div", *sides, shape, class_="sides"),
    )
    rows = [_row(key, what) for key, what in strings.KEYS]
    keys = tag("details", tag("summary", strings.KEYS_TITLE), tag("dl", *rows))
    return tag("div", extension, keys, class_="more")


def _row(key: str, what: str) -> Markup:
    return tag("div", tag("dt", key), tag("dd", what))


def _group(buttons: Sequence[Markup]) -> Markup:
    return tag("div", *buttons, class_="group")


def _button(act: str, title: str, **more: str) -> Markup:
    lines = tag("path", d=ICONS[act])
    sign = tag("svg", lines, viewBox="0 0 24 24", aria_hidden="true")
    return tag(
        "button", sign, type="button", class_="sign", data_act=act, title=title, aria_label=title,
        **more,
    )  # fmt: skip


def _range(field: str, name: str, *, high: int, low: int = 0, value: int = 0) -> Markup:
    return tag(
        "input", type="range", min=low, max=high, value=value, data_field=field, aria_label=name
    )


def _number(
    field: str, name: str, *, high: int, low: int = 0, value: int = 0, step: int = 1
) -> Markup:
    # The browser's own check of steps counts from the least value; any whole number will do here.
    return tag(
        "input", type="number", inputmode="numeric", min=low, max=high, step=step, value=value,
        data_field=field, aria_label=name,
    )  # fmt: skip
