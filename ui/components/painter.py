"""The mask painter: a canvas of our own, with tools for mouse, finger, pen and keys.

What is painted stays in the browser until a job begins; then masks are sent, checked and kept, and
the components hold their names, as fields of a request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import gradio as gr
from gradio.components import Component

from ui import painter_strings as strings
from ui.components.ids import Ids
from ui.components.painter_parts import painter_markup
from ui.markup import tag

SCRIPTS: Final = Path(__file__).parents[1] / "static" / "painter"
ORDER: Final = ("raster", "pack", "store", "view", "gestures", "marks", "keys", "main", "files")
"""The scripts of the painter; they run as one, so later ones see what earlier ones name."""
COLOURS: Final = ("#d1147a", "#0e7490", "#b45309", "#15803d")
"""Of the painted areas, one for each that may have a prompt of its own."""
NO_EXTENSION: Final = "[0,0,0,0]"
HOLDER_SCRIPT: Final = """
document.addEventListener('atelier-hold', ({ detail }) => {
  if (detail.tab === tab && detail.field === field) props.value = detail.value;
});
"""
"""The painter fills several fields of a request; each has a component that holds its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """The components of a painter; each holds the field of a request that it is named for.

    mask: the painter itself; it triggers `input` when there begins or ceases to be a picture, or
    paint, or an extension. regions, extend, images: JSON text.
    """

    mask: gr.HTML
    images: gr.HTML
    regions: gr.HTML
    extend: gr.HTML

    @property
    def fields(self) -> dict[str, Component]:
        """The components by the name of the field."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def build_painter(ids: Ids, doors: Sequence[Callable[..., object]]) -> Painter:
    """Build a painter. doors: `keep_picture` and `keep_masks`, which the browser calls."""
    holders = {
        field: gr.HTML(
            start,
            html_template=tag("i"),
            js_on_load=_with({"tab": ids.tab, "field": field}, HOLDER_SCRIPT),
            visible="hidden",
            **ids.mark(field),
            apply_default_css=False,
        )
        for field, start in (("images", ""), ("regions", ""), ("extend", NO_EXTENSION))
    }
    mask = gr.HTML(
        "",
        html_template=painter_markup(COLOURS),
        js_on_load=_with(
            {"tab": ids.tab, "colours": COLOURS, "words": {**strings.WORDS}}, script()
        ),
        **ids.mark("painter"),
        apply_default_css=False,
        server_functions=list(doors),
        picture=None,
    )
    return Painter(mask=mask, **holders)


def script() -> str:
    """Return the painter's script, of all its parts."""
    return "\n".join((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in ORDER)


def _with(constants: Mapping[str, object], code: str) -> str:
    """Return a script that knows some values.

    Not by the component's own properties: an update of one takes the others away from a component
    that is not on the screen yet.
    """
    lines = (f"const {name} = {json.dumps(value)};" for name, value in constants.items())
    return "\n".join([*lines, code])
