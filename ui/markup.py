"""The one place where HTML is written: text in, escaped markup out."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from urllib.parse import quote

OPEN_SCRIPT = """
let open = false;
element.addEventListener('toggle', (event) => { open = event.target.open; }, true);
watch('value', () => {
  const list = element.querySelector('details');
  if (list) list.open = open;
});
"""
"""For a component with one list that opens: keeps it open while what is written changes."""

_VOID = frozenset({"img", "input"})


class Markup(str):
    """HTML that is safe to show; any other text is escaped on its way into a tag."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | int | bool) -> Markup:
    """Return an element; children that are no `Markup` are escaped, and so is every attribute.

    Attributes are written as Python names: class_ for class, data_pick for data-pick. True writes
    the bare name, False leaves the attribute out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    opening = f"<{name}{written}>"
    if name in _VOID:
        return Markup(opening)
    return Markup(f"{opening}{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Return children one after another, escaped unless they are `Markup`."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children))


def escape(text: str) -> Markup:
    """Return text as HTML that shows it letter by letter."""
    return Markup(html.escape(text, quote=True))


def jpeg_url(data: bytes) -> str:
    """Return a JPEG as an address that holds the picture itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def file_url(path: Path | str) -> str:
    """Return the address under which the page serves a file of its cache."""
    return f"gradio_api/file={quote(str(path))}"


def _attribute(key: str, value: str | int | bool) -> str:
    if value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
