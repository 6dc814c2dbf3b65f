"""Reads preset files: small JSON from anyone, of which a bad one never hides the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from engine import strict_json
from engine.errors import FileRejected, NotFound
from engine.storage import read_bounded

MAX_FILES: Final = 100
MAX_FILE_BYTES: Final = 64 * 1024
MAX_TITLE: Final = 80
MAX_ENTRIES: Final = 200
"""Of one group in one file."""

Choice = TypeVar("Choice", bound=StrEnum)
Value = TypeVar("Value")
Found = TypeVar("Found")


def read_folder(folder: Path, read: Callable[[Path], Found]) -> tuple[list[Found], tuple[str, ...]]:
    """Return what `read` makes of each JSON file of a folder, and what to tell of the others.

    Never fails: a file that holds something else, and a folder that is not there, hold none.
    """
    notices: list[str] = []
    return read_each(_files(folder, notices), read, notices), tuple(notices)


def read_each(
    values: Iterable[Value], read: Callable[[Value], Found], notices: list[str]
) -> list[Found]:
    """Return what `read` makes of each value; what it refuses is added to `notices`."""
    found: list[Found] = []
    for value in values:
        try:
            found.append(read(value))
        except (FileRejected, NotFound) as error:
            notices.append(f"{error.message} It is left out.")
    return found


def read_groups(
    folders: Sequence[Path], field: str, read: Callable[[object, str, str], Found]
) -> tuple[list[Found], tuple[str, ...]]:
    """Return what `read` makes of each entry of the groups in the folders' JSON files.

    A file holds {"group": ..., field: [...]}; `read` gets an entry, what messages call its file,
    and the group. What is wrong is told. Never fails.
    """
    found: list[Found] = []
    notices: list[str] = []

    def read_file(path: Path) -> None:
        what = name_of(path)
        values = read_object(path, ("group", field), max_depth=5)
        group = check_title(values["group"], what)
        listed = check_list(values[field], what, MAX_ENTRIES)
        found.extend(read_each(listed, lambda entry: read(entry, what, group), notices))

    for folder in folders:
        _, told = read_folder(folder, read_file)
        notices += told
    return found, tuple(notices)


def name_of(path: Path) -> str:
    """Return what the messages about a file call it."""
    return f"The preset {path.name!r:.80}"


def read_object(
    path: Path, fields: Sequence[str], optional: Sequence[str] = (), *, max_depth: int = 2
) -> dict[str, object]:
    """Return the object in a file, which has all of `fields` and nothing beyond `optional`.

    Raise `NotFound`, or `FileRejected` with the reason.
    """
    data = read_bounded(path, MAX_FILE_BYTES)
    what = name_of(path)
    values = strict_json.parse(data, what, max_bytes=MAX_FILE_BYTES, max_depth=max_depth)
    return check_object(values, what, fields, optional)


def check_object(
    values: object, what: str, fields: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, object]:
    """Return an object with all of `fields` and nothing beyond `optional`; raise `FileRejected`."""
    if not isinstance(values, dict):
        raise FileRejected(f"{what} holds no named values.")
    needed = set(fields)
    if not needed <= values.keys() <= {*needed, *optional}:
        more = f", and may hold {', '.join(sorted(optional))}" if optional else ""
        raise FileRejected(f"{what} must hold {', '.join(sorted(needed))}{more}.")
    return values


def check_title(value: object, what: str) -> str:
    """Return a title that can be shown; raise `FileRejected`."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise FileRejected(f"{what} has the title {value!r:.80}, which cannot be shown.")
    if len(value) > MAX_TITLE:
        raise FileRejected(f"{what} has a title of more than {MAX_TITLE} characters.")
    return value


def check_choice(choices: type[Choice], value: object, what: str) -> Choice:
    """Return a member of a list of names; raise `FileRejected`."""
    if value not in list(choices):
        raise FileRejected(f"{what} has {value!r:.80}; choose one of {', '.join(choices)}.")
    return choices(str(value))


def check_number(value: object, what: str, low: float, high: float) -> float:
    """Return a number from `low` to `high`; raise `FileRejected`."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or not low <= number <= high:
        raise FileRejected(f"{what} has {value!r:.80}; must lie between {low:g} and {high:g}.")
    return float(number)


def check_list(value: object, what: str, most: int) -> list[object]:
    """Return a list of at most `most`; raise `FileRejected`."""
    if not isinstance(value, list) or len(value) > most:
        raise FileRejected(f"{what} must hold a list of at most {most}.")
    return value


def _files(folder: Path, notices: list[str]) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError:
        return []
    if len(paths) > MAX_FILES:
        notices.append(f"The folder {folder.name} holds more than {MAX_FILES} presets.")
    return paths[:MAX_FILES]
