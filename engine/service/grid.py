"""X/Y grids: one request painted over and over, with two of its values changed step by step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.errors import BadRequest
from engine.presets import Presets
from engine.request import Request
from engine.service.series import Item, SeriesPlan, SheetPlan

MAX_VALUES: Final = 20
MAX_CELLS: Final = 100
LARGEST_CELL: Final = 384
"""Pixels of the longer side of a picture on the sheet; smaller ones are not made larger."""

NOTHING: Final = ""
"""The axis on which nothing changes."""

WORDS: Final = "words"
LORA_WEIGHT: Final = "lora_weight"
SIZE: Final = "size"
STYLE_AXIS: Final = "style"
NO_STYLE: Final = "none"

_RANGE = re.compile(
    r"(-?\d{1,19}(?:\.\d{1,9})?)\.\.(-?\d{1,19}(?:\.\d{1,9})?)(?::(\d{1,9}(?:\.\d{1,9})?))?"
)
_SIZE = re.compile(r"(\d{1,5})\s*[xX×]\s*(\d{1,5})")
_WHOLE: Final = frozenset({"seed", "steps", "feather"})
_NUMBERS: Final = (
    "guidance_scale", "shift", "cfg_normalization", "cfg_truncation", "step_cache", "strength",
)  # fmt: skip
_NAMES: Final = ("model", "sampler")
_OF_PICTURES: Final = frozenset({"strength", "feather"})
_HOW: Final = "Write values with commas between, or a range such as 2..8:2."
_BUNDLED: Final = Presets()


@dataclass(frozen=True, slots=True)
class Axis:
    """What changes along one side of a grid.

    parameter: one of `GRID_PARAMETERS`, or "" for nothing. values: with commas between, or with
    semicolons where there are any; numbers also as ranges, `low..high` or `low..high:step`, both
    ends included. Of words, the first are replaced in the prompt by each of them in turn. Styles
    are named by their titles.
    """

    parameter: str = NOTHING
    values: str = ""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of an axis, beside all of them, and the presets that it may name."""

    text: str
    among: Sequence[str]
    presets: Presets


def plan_grid(
    request: Request, x: Axis, y: Axis, folder: Path, presets: Presets = _BUNDLED
) -> SeriesPlan:
    """Return the pictures of a grid, row by row, and its sheet in a folder.

    The request must have a seed, which all pictures share unless it is what changes, and no style
    where styles change. Raise `BadRequest` naming the first value that cannot be, or too many of
    them, and `NotFound` for a style that is not there.
    """
    if x.parameter == NOTHING:
        raise BadRequest("Nothing changes along the first side.", "Choose what does.")
    if x.parameter == y.parameter:
        raise BadRequest("Both sides of the grid change the same.", "Choose two different ones.")
    across, down = list(_changes(x, presets)), list(_changes(y, presets))
    if len(across) * len(down) > MAX_CELLS:
        raise BadRequest(
            f"The grid would have {len(across)} × {len(down)} pictures, more than {MAX_CELLS}.",
            "Use fewer values.",
        )
    base = request.with_values(count=1)
    # A style goes around the words that the other side puts in.
    style_last = x.parameter == STYLE_AXIS
    items = tuple(
        Item(
            label=" · ".join(filter(None, (column, row))),
            steps=(in_column(in_row(base)) if style_last else in_row(in_column(base)),),
        )
        for row, in_row in down
        for column, in_column in across
    )
    rows = tuple(row for row, _ in down) if y.parameter else ()
    sheet = SheetPlan(
        folder=folder,
        columns=len(across),
        column_names=tuple(column for column, _ in across),
        row_names=rows,
        labels=False,
        title=request.prompt,
        side=min(LARGEST_CELL, max(request.width or 0, request.height or 0) or LARGEST_CELL),
    )
    return SeriesPlan(items=items, sheet=sheet)


def labels_of(axis: Axis, presets: Presets = _BUNDLED) -> tuple[str, ...]:
    """Return what the values of an axis are called; raise as `plan_grid` for one that cannot be."""
    return tuple(label for label, _ in _changes(axis, presets))


_Change = Callable[[Request], Request]
_Make = Callable[[_Value], _Change]


def _changes(axis: Axis, presets: Presets) -> Iterator[tuple[str, _Change]]:
    """Yield the label and the change of each value of an axis."""
    if axis.parameter == NOTHING:
        yield "", lambda request: request
        return
    make = GRID_PARAMETERS.get(axis.parameter)
    if make is None:
        raise BadRequest(
            f"{axis.parameter!r:.40} cannot change along a grid.",
            f"Choose one of {', '.join(GRID_PARAMETERS)}.",
        )
    between = r"[;\n]" if ";" in axis.values else r"[,\n]"
    values = [value.strip() for value in re.split(between, axis.values) if value.strip()]
    if axis.parameter not in _TEXTS:
        values = [number for value in values for number in _spread(value)]
    if not 1 <= len(values) <= MAX_VALUES:
        raise BadRequest(
            f"One side of the grid has {len(values)} values, but must have 1 to {MAX_VALUES}.", _HOW
        )
    for value in values:
        yield _label(axis.parameter, value), make(_Value(value, values, presets))


def _label(parameter: str, value: str) -> str:
    return f"“{value}”" if parameter == WORDS else f"{parameter.replace('_', ' ')} {value}"


def _spread(value: str) -> list[str]:
    """Return the numbers of a range, or the value itself where it is none."""
    found = _RANGE.fullmatch(value)
    if found is None:
        return [value]
    low, high, step = Decimal(found[1]), Decimal(found[2]), Decimal(found[3] or 1)
    if not step or not 0 <= (high - low) / step < MAX_VALUES:
        raise BadRequest(f"The range {value} holds no values, or too many.", _HOW)
    numbers = (low + index * step for index in range(int((high - low) / step) + 1))
    return [f"{number.normalize():f}" for number in numbers]


def _number(name: str) -> _Make:
    def make(value: _Value) -> _Change:
        try:
            number = int(value.text) if name in _WHOLE else float(value.text)
        except ValueError as error:
            raise BadRequest(f"The {name} {value.text!r:.40} is no number.", _HOW) from error

        def change(request: Request) -> Request:
            if name in _OF_PICTURES and not request.images:
                raise BadRequest(
                    f"The {name} changes nothing without a picture to begin with.",
                    "Choose something else, or paint the grid where you edit or inpaint.",
                )
            return request.with_values(**{name: number})

        return change

    return make


def _name(name: str) -> _Make:
    return lambda value: lambda request: request.with_values(**{name: value.text})


def _size(value: _Value) -> _Change:
    found = _SIZE.fullmatch(value.text)
    if found is None:
        raise BadRequest(f"{value.text!r:.40} is no size.", "Write sizes as 1024x768.")
    return lambda request: request.with_values(width=int(found[1]), height=int(found[2]))


def _words(value: _Value) -> _Change:
    """Put words in the place of the first ones, which the prompt must hold."""
    first = value.among[0]

    def change(request: Request) -> Request:
        if first not in request.prompt:
            raise BadRequest(
                f"The prompt does not hold {first!r:.80}.",
                "The first of the words is the one to replace.",
            )
        return request.with_values(prompt=request.prompt.replace(first, value.text))

    return change


def _style(value: _Value) -> _Change:
    if value.text.casefold() == NO_STYLE:
        return lambda request: request
    return value.presets.style(value.text).around


def _lora_weight(value: _Value) -> _Change:
    """Give every adapter a weight."""
    try:
        weight = float(value.text)
    except ValueError as error:
        raise BadRequest(f"The weight {value.text!r:.40} is no number.", _HOW) from error

    def change(request: Request) -> Request:
        if not request.loras:
            raise BadRequest("There is no LoRA whose weight could change.", "Add one first.")
        loras = tuple(replace(lora, weight=weight) for lora in request.loras)
        return request.with_values(loras=loras)

    return change


_TEXTS: Final = frozenset({WORDS, STYLE_AXIS, SIZE, *_NAMES})
GRID_PARAMETERS: Final[Mapping[str, _Make]] = MappingProxyType(
    {
        "seed": _number("seed"),
        "steps": _number("steps"),
        "guidance_scale": _number("guidance_scale"),
        WORDS: _words,
        STYLE_AXIS: _style,
        LORA_WEIGHT: _lora_weight,
        SIZE: _size,
        **{name: _name(name) for name in _NAMES},
        **{name: _number(name) for name in _NUMBERS if name != "guidance_scale"},
        "feather": _number("feather"),
    }
)
"""What can change along a grid, and what makes the change of one value."""
