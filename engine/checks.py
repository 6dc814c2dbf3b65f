"""Checks of single values of a request; each message holds the bad value and the next step."""

from __future__ import annotations

from engine.errors import BadRequest

MAX_PROMPT_CHARACTERS = 100_000
MIN_SIDE = 64
MAX_SIDE = 8192
SIDE_MULTIPLE = 16
MAX_NAME_CHARACTERS = 40
MAX_SHOWN = 10**30


def check_text(name: str, value: object) -> None:
    """Refuse what is no text, is too long, or cannot be written down; raise `BadRequest`."""
    if not isinstance(value, str):
        raise BadRequest(f"The {name} must be text, not {value!r:.80}.")
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise BadRequest(
            f"The {name} has {len(value):,} characters, more than {MAX_PROMPT_CHARACTERS:,}.",
            "Shorten it.",
        )
    if "\0" in value:
        raise BadRequest(f"The {name} contains a NUL character.", "Remove it.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"The {name} is not proper Unicode text.", "Type it anew, in UTF-8.")


def check_name(name: str, value: object) -> None:
    """Refuse what is no short name; raise `BadRequest`."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS:
        raise BadRequest(f"The {name} must be a short name, not {value!r:.80}.")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number from `low` to `high`, None excepted; raise `BadRequest`."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"The {name} must be a whole number, not {value!r:.80}.")
    if not low <= value <= high:
        raise BadRequest(f"The {name} is {_shown(value)}, but must lie between {low} and {high}.")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number from `low` to `high`, None excepted; raise `BadRequest`."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"The {name} must be a number, not {value!r:.80}.")
    if not low <= value <= high:
        raise BadRequest(
            f"The {name} is {_shown(value)}, but must lie between {low:g} and {high:g}."
        )


def check_side(name: str, value: object) -> None:
    """Refuse what is no side of a picture in pixels, None excepted; raise `BadRequest`."""
    check_whole(name, value, MIN_SIDE, MAX_SIDE)
    if isinstance(value, int) and value % SIDE_MULTIPLE:
        lower = value - value % SIDE_MULTIPLE
        raise BadRequest(
            f"The {name} is {value}, but must be a multiple of {SIDE_MULTIPLE}.",
            f"Use {max(lower, MIN_SIDE)} or {lower + SIDE_MULTIPLE}.",
        )


def _shown(value: float) -> str:
    """Write a number for a message; one of thousands of digits would not even print."""
    return "far too large" if isinstance(value, int) and abs(value) >= MAX_SHOWN else str(value)
