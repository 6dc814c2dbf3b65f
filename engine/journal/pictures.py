"""The pictures in the journal: found by words, model, adapter and date."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.checks import check_number, check_text, check_whole
from engine.errors import BadRequest, NotFound
from engine.events import Picture
from engine.journal.store import Store
from engine.journal.words import indexed_query, plain_patterns, spaced
from engine.request import MAX_PATH_CHARACTERS

MAX_SHOWN: Final = 200
_LARGEST_ID: Final = 2**63 - 1
"""Larger numbers are none of SQLite's."""
_FARTHEST: Final = 1e12
"""Seconds from 1970 to beyond any date that can be written."""
_COLUMNS: Final = (
    "p.id, p.path, p.session, p.created, p.width, p.height, p.seconds, p.model, p.favourite,"
    " p.trash, p.recipe"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which pictures to look for, the newest first.

    words: all of them, or beginnings of them, in the prompt or the names of model and adapters.
    model, lora: exact names. since, until: seconds since 1970, from the first to just before the
    second. trash: those thrown away, instead of the others. session: None = everybody's. before: id
    of the last picture that was found, to go on from there. most: how many, up to 200.
    """

    words: str = ""
    model: str = ""
    lora: str = ""
    since: float | None = None
    until: float | None = None
    favourites: bool = False
    trash: bool = False
    session: str | None = None
    before: int | None = None
    most: int = 24

    def __post_init__(self) -> None:
        """Check what a page may send; raise `BadRequest`."""
        for name in ("words", "model", "lora"):
            check_text(name, getattr(self, name))
        for name in ("since", "until"):
            check_number(name, getattr(self, name), -_FARTHEST, _FARTHEST)
        check_whole("last picture", self.before, 0, _LARGEST_ID)
        if len(self.model) > MAX_PATH_CHARACTERS or len(self.lora) > MAX_PATH_CHARACTERS:
            raise BadRequest(
                "The name of the model or the LoRA is too long.", "Choose from the list."
            )
        if isinstance(self.most, bool) or not 1 <= self.most <= MAX_SHOWN:
            raise BadRequest(f"{self.most!r:.40} pictures cannot be shown at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPicture:
    """A picture that was made. created: seconds since 1970. seconds: its whole job took.

    path: where it was saved; trash: where it lies since it was thrown away, None if it was not.
    """

    id: int
    path: Path
    session: str
    created: float
    width: int
    height: int
    seconds: float
    model: str
    favourite: bool
    trash: Path | None
    recipe: Mapping[str, object]

    @property
    def file(self) -> Path:
        """Where it lies now."""
        return self.trash or self.path

    @property
    def request(self) -> Mapping[str, Any]:
        """The settings in the recipe, by name."""
        values = self.recipe.get("request")
        return values if isinstance(values, dict) else {}


class Album:
    """Writes down pictures and finds them again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, pictures: tuple[Picture, ...], session: str, seconds: float) -> None:
        """Write down the pictures of a job; one that was painted anew takes its old place."""
        now = time.time()
        with self._store.write() as connection:
            for picture in pictures:
                _insert(connection, picture, (session, now, seconds))

    def find(self, search: Search) -> tuple[PastPicture, ...]:
        """Return the pictures that a search is for; raise `DiskError`."""
        conditions = list(_conditions(search, indexed=self._store.indexed))
        where = " AND ".join(condition for condition, _ in conditions)
        values = [value for _, several in conditions for value in several]
        words = " JOIN words w ON w.rowid = p.id" if search.words.strip() else ""
        # By the id of the words, or their index would be read whole and sorted.
        newest = "w.rowid" if words else "p.id"
        rows = self._store.read(
            f"SELECT {_COLUMNS} FROM pictures p{words} WHERE {where}"  # noqa: S608
            f" ORDER BY {newest} DESC LIMIT ?",
            (*values, search.most),
        )
        return tuple(_past(*row) for row in rows)

    def picture(self, number: int, session: str | None) -> PastPicture:
        """Return one picture; session: whose it must be, None = anybody's. Raise `NotFound`."""
        rows = self._store.read(
            f"SELECT {_COLUMNS} FROM pictures p"  # noqa: S608
            " WHERE p.id = ? AND p.session = coalesce(?, p.session)",
            (number if abs(number) <= _LARGEST_ID else 0, session),
        )
        for row in rows:
            return _past(*row)
        raise NotFound(f"The picture {number!r:.40} is not in the history.", "Look again.")

    def favour(self, number: int, *, favourite: bool) -> None:
        """Mark a picture as a favourite, or take the mark away."""
        self._set(number, "favourite", int(favourite))

    def throw(self, number: int, trash: Path | None) -> None:
        """Note where a picture lies since it was thrown away; None: it was taken back."""
        self._set(number, "trash", None if trash is None else str(trash))

    @contextmanager
    def move(self, old: str, new: str) -> Iterator[None]:
        """Note that the pictures whose paths begin with `old` lie where that reads `new`.

        Nothing is noted where the block fails.
        """
        with self._store.write() as connection:
            connection.execute(
                "UPDATE pictures SET path = ? || substr(path, ?) WHERE substr(path, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )
            yield

    def drop(self, number: int) -> None:
        """Strike out a picture for good."""
        with self._store.write() as connection:
            _remove_words(connection, number)
            connection.execute("DELETE FROM pictures WHERE id = ?", (number,))

    def names(self, session: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the models and the adapters that pictures were made with, each once."""
        own = "" if session is None else " WHERE p.session = ?"
        values = () if session is None else (session,)
        models = self._store.read(f"SELECT DISTINCT p.model FROM pictures p{own}", values)  # noqa: S608
        joined = "" if session is None else " JOIN pictures p ON p.id = a.picture"
        adapters = self._store.read(
            f"SELECT DISTINCT a.name FROM adapters a{joined}{own}",  # noqa: S608
            values,
        )
        return _sorted(models), _sorted(adapters)

    def recipes_with(self, text: str) -> tuple[str, ...]:
        """Return the recipes, as JSON, that hold a text of letters, digits and colons."""
        rows = self._store.read("SELECT recipe FROM pictures WHERE instr(recipe, ?)", (text,))
        return tuple(recipe for (recipe,) in rows)

    def _set(self, number: int, column: str, value: object) -> None:
        with self._store.write() as connection:
            connection.execute(
                f"UPDATE pictures SET {column} = ? WHERE id = ?",  # noqa: S608
                (value, number),
            )


def _insert(
    connection: sqlite3.Connection, picture: Picture, shared: tuple[str, float, float]
) -> None:
    values = picture.recipe.get("request")
    request: dict[str, Any] = values if isinstance(values, dict) else {}
    model, adapters = str(request.get("model", "")), _adapters(request)
    facts = (picture.width, picture.height, model, json.dumps(picture.recipe))
    (number,) = connection.execute(
        "INSERT INTO pictures(path, session, created, seconds, width, height, model, recipe)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(path) DO UPDATE SET"
        " seconds = excluded.seconds, width = excluded.width, height = excluded.height,"
        " model = excluded.model,"
        " recipe = excluded.recipe, trash = NULL RETURNING id",
        (str(picture.path), *shared, *facts),
    ).fetchone()
    _remove_words(connection, number)
    text = spaced("\n".join((str(request.get("prompt", "")), model, *adapters)))
    connection.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (number, text))
    connection.executemany(
        "INSERT OR IGNORE INTO adapters(name, picture) VALUES(?, ?)",
        [(name, number) for name in adapters],
    )


def _remove_words(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM words WHERE rowid = ?", (number,))
    connection.execute("DELETE FROM adapters WHERE picture = ?", (number,))


def _adapters(request: Mapping[str, Any]) -> list[str]:
    loras = request.get("loras")
    named = loras if isinstance(loras, list | tuple) else ()
    return [str(one["name"]) for one in named if isinstance(one, dict) and "name" in one]


def _sorted(rows: list[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(sorted(name for (name,) in rows if name))


def _conditions(search: Search, *, indexed: bool) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield each condition of a search, and what it compares with."""
    yield "p.trash IS NOT NULL" if search.trash else "p.trash IS NULL", ()
    if search.words.strip() and indexed:
        # No word at all finds nothing: the empty text would be an error.
        yield "words MATCH ?", (indexed_query(search.words) or '"\u2400"',)
    elif search.words.strip():
        for pattern in plain_patterns(search.words) or ["\u2400"]:
            yield "w.text LIKE ? ESCAPE '!'", (pattern,)
    if search.favourites:
        yield "p.favourite", ()
    if search.lora:
        yield "p.id IN (SELECT picture FROM adapters WHERE name = ?)", (search.lora,)
    compared: dict[str, object] = {
        "p.model = ?": search.model or None,
        "p.session = ?": search.session,
        "p.created >= ?": search.since,
        "p.created < ?": search.until,
        "p.id < ?": search.before,
    }
    yield from ((condition, (value,)) for condition, value in compared.items() if value is not None)


def _past(*row: Any) -> PastPicture:
    number, path, session, created, width, height, seconds, model, favourite, trash, recipe = row
    return PastPicture(
        id=number,
        path=Path(path),
        session=session,
        created=created,
        width=width,
        height=height,
        seconds=seconds,
        model=model,
        favourite=bool(favourite),
        trash=None if trash is None else Path(trash),
        recipe=json.loads(recipe),
    )
