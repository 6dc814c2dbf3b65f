"""Styles: how a picture is made, put around what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.errors import FileRejected
from engine.presets.files import (
    check_list,
    check_number,
    check_object,
    check_title,
    read_groups,
)
from engine.request import Request

SLOT: Final = "{prompt}"
MAX_TEMPLATE: Final = 4000
RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"guidance_scale": (0.0, 20.0), "cfg_normalization": (0.0, 10.0)}
)
"""The settings that a style may recommend, besides a shape; both ends included."""

_STOPS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A way of making pictures. The title is its name: no two styles share one.

    prompt: sentences around one `{prompt}`. negative: joins the negative prompt where guidance
    is on. shape: width to height, as numbers; None = any. settings: recommended, by field name.
    """

    title: str
    group: str
    prompt: str
    negative: str = ""
    shape: tuple[float, float] | None = None
    settings: Mapping[str, float] = field(default_factory=dict)

    def apply(self, prompt: str) -> str:
        """Return the style's sentences around a prompt; its last sentence ends but once."""
        before, after = self.prompt.split(SLOT)
        said = prompt.strip()
        if said.endswith(_STOPS):
            after = after.removeprefix(".")
        return f"{before}{said}{after}"

    def apply_negative(self, negative: str) -> str:
        """Return a negative prompt together with the style's own."""
        return ", ".join(part for part in (negative.strip(), self.negative) if part)

    def around(self, request: Request) -> Request:
        """Return a request for the same picture in this style."""
        # Without guidance nothing reads a negative prompt.
        plain = request.guidance_scale == 0
        negative = request.negative if plain else self.apply_negative(request.negative)
        return request.with_values(prompt=self.apply(request.prompt), negative=negative)


def styles(folders: Sequence[Path]) -> tuple[tuple[Style, ...], tuple[str, ...]]:
    """Return the styles in the folders' JSON files, and what to tell of what is wrong.

    A later style takes the place of an earlier one of the same title. Never fails.
    """
    found, notices = read_groups(folders, "styles", _style)
    return tuple({style.title: style for style in found}.values()), notices


def _style(value: object, what: str, group: str) -> Style:
    values = check_object(value, what, ("title", "prompt"), ("negative", "shape", "settings"))
    title = check_title(values["title"], what)
    of_it = f"{what}: the style {title!r:.80}"
    prompt = _text(values["prompt"], of_it)
    if prompt.count(SLOT) != 1:
        raise FileRejected(f"{of_it} must hold {SLOT} once in its prompt.")
    shape = values.get("shape")
    return Style(
        title=title,
        group=group,
        prompt=prompt,
        negative=_text(values.get("negative", ""), of_it),
        shape=None if shape is None else _shape(shape, of_it),
        settings=_settings(values.get("settings", {}), of_it),
    )


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_TEMPLATE:
        raise FileRejected(f"{what} has {value!r:.80}, which is no text to paint by.")
    return value


def _shape(value: object, what: str) -> tuple[float, float]:
    sides = check_list(value, what, 2)
    if len(sides) != 2:
        raise FileRejected(f"{what} needs a width and a height in its shape.")
    width, height = (check_number(side, what, 0.1, 100.0) for side in sides)
    return width, height


def _settings(value: object, what: str) -> Mapping[str, float]:
    values = check_object(value, what, (), tuple(RANGES))
    return MappingProxyType(
        {name: check_number(number, what, *RANGES[name]) for name, number in values.items()}
    )
