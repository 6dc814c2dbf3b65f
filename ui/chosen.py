"""The adapters that a form holds, as the text in which the browser keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from engine import BadRequest, Lora
from ui import strings

MAX_TEXT: Final = 200_000
FIELDS: Final = frozenset({"name", "weight", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An adapter of the form. on: whether it acts on the next picture."""

    name: str
    weight: float = 1.0
    on: bool = True

    def __post_init__(self) -> None:
        """Check name and weight like those of a request; raise `BadRequest`."""
        Lora(self.name, self.weight)
        if not isinstance(self.on, bool):
            raise _unreadable()

    @property
    def lora(self) -> Lora:
        """The adapter as a request names it."""
        return Lora(self.name, self.weight)


def read_chosen(text: object) -> tuple[Chosen, ...]:
    """Read what a browser sends; raise `BadRequest` for anything that it never sends."""
    if text is None or text == "":
        return ()
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise _unreadable()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error
    if not isinstance(values, list):
        raise _unreadable()
    return tuple(_one(value) for value in values)


def write_chosen(chosen: Iterable[Chosen]) -> str:
    """Return the text of the adapters; none at all is the empty text."""
    values = [asdict(one) for one in chosen]
    return json.dumps(values) if values else ""


def loras_of(text: object) -> tuple[Lora, ...]:
    """Return the adapters that act on the next picture."""
    return tuple(one.lora for one in read_chosen(text) if one.on)


def _one(value: object) -> Chosen:
    if not isinstance(value, dict) or value.keys() != FIELDS:
        raise _unreadable()
    fields: dict[str, Any] = value
    return Chosen(**fields)


def _unreadable() -> BadRequest:
    return BadRequest(strings.LORAS_UNREADABLE, strings.UNKNOWN_CHOICE_ACTION)
