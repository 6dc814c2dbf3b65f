"""The journal's database: one file, one connection, one program at a time.

SQLite in WAL mode: what a transaction wrote is there after a kill or a power cut, whole or not at
all (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine.errors import DiskError
from engine.storage import make_folder, open_shared, try_lock

FILE: Final = "journal.sqlite"
VERSION: Final = 1
_BESIDE: Final = ("", "-wal", "-shm")
_TABLES: Final = """
CREATE TABLE jobs(
    id TEXT PRIMARY KEY, session TEXT NOT NULL, state TEXT NOT NULL, place INTEGER NOT NULL,
    attempts INTEGER NOT NULL, created REAL NOT NULL, prompt TEXT NOT NULL, line BLOB NOT NULL
);
CREATE TABLE pictures(
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, session TEXT NOT NULL, created REAL NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, seconds REAL NOT NULL, model TEXT NOT NULL,
    favourite INTEGER NOT NULL DEFAULT 0, trash TEXT, recipe TEXT NOT NULL
);
CREATE TABLE adapters(
    name TEXT NOT NULL, picture INTEGER NOT NULL, PRIMARY KEY(name, picture)
) WITHOUT ROWID;
CREATE INDEX jobs_place ON jobs(state, place);
CREATE INDEX jobs_created ON jobs(session, created);
CREATE INDEX adapters_picture ON adapters(picture);
CREATE INDEX pictures_session ON pictures(session, id);
CREATE INDEX pictures_model ON pictures(model, id);
CREATE INDEX pictures_created ON pictures(created);
CREATE INDEX pictures_favourite ON pictures(id) WHERE favourite;
CREATE INDEX pictures_trash ON pictures(id) WHERE trash IS NOT NULL;
"""
# Without FTS5 the words are looked through one by one, which takes a little longer.
_WORDS: Final = (
    "CREATE VIRTUAL TABLE words USING"
    " fts5(text, tokenize='unicode61 remove_diacritics 2', prefix='2 3')",
    "CREATE TABLE words(text TEXT NOT NULL)",
)


class Store:
    """An open database; any thread may use it, one after another."""

    def __init__(self, path: Path, lock: BinaryIO) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._turn = threading.RLock()
        self._file_lock = lock
        self._path = path
        try:
            self.indexed = self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def read(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; raise `DiskError`."""
        with self._turn, self._told("read"):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, all of which is kept, or none; `DiskError`."""
        with self._turn, self._told("written"), ExitStack() as undo:
            self._connection.execute("BEGIN IMMEDIATE")
            undo.callback(self._connection.rollback)
            yield self._connection
            self._connection.commit()
            undo.pop_all()

    def size(self) -> int:
        """Return how many bytes the journal takes on the disk."""
        sizes = 0
        for ending in _BESIDE:
            with suppress(OSError):
                sizes += _beside(self._path, ending).stat().st_size
        return sizes

    def close(self) -> None:
        """Close the file and let another program have it; may be called twice."""
        with self._turn:
            self._connection.close()
            self._file_lock.close()

    def _prepare(self) -> bool:
        """Bring the tables to this version; return whether words are indexed."""
        connection = self._connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise _TooNew
        if version == 0:
            _create(connection)
        (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(fault)
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
        if not made.keys() >= {"jobs", "pictures", "adapters", "words"}:
            raise sqlite3.DatabaseError("tables are missing")
        return "fts5" in made["words"]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            # The last two: a value that no column can hold.
            raise DiskError(
                f"The history {self._path} could not be {what}: {error}.",
                "Start the program again; if that does not help, free some space.",
            ) from error


class _TooNew(Exception):
    """The database was written by a later version of this program."""


def open_store(data_dir: Path) -> tuple[Store | None, tuple[str, ...]]:
    """Open the journal of a data folder, and say what was wrong with it.

    A damaged file is set aside and an empty one begun. None where another program has it, where it
    is of a later version, or where the folder cannot be written to; the notice says which.
    """
    path = data_dir / FILE
    try:
        make_folder(data_dir)
        lock = open_shared(path.with_suffix(".lock"))
    except DiskError as error:
        return None, (f"There is no history: {error}",)
    with ExitStack() as undo:
        undo.callback(lock.close)
        store, notices = _locked(path, lock)
        if store is not None:
            undo.pop_all()
    return store, notices


def _locked(path: Path, lock: BinaryIO) -> tuple[Store | None, tuple[str, ...]]:
    try:
        if not try_lock(lock):
            return None, (
                "The program runs twice: what is painted here does not come into the history.",
            )
        return _opened(path, lock)
    except _TooNew:
        return None, (f"The history {path.name} is of a newer version and is left alone.",)
    except (DiskError, OSError, sqlite3.Error) as error:
        return None, (f"There is no history: {path} could not be opened: {error}.",)


def _opened(path: Path, lock: BinaryIO) -> tuple[Store, tuple[str, ...]]:
    try:
        return Store(path, lock), ()
    except sqlite3.OperationalError:
        # Of the disk, its room or its rights: the file itself may be sound.
        raise
    except sqlite3.DatabaseError as error:
        aside = _set_aside(path)
        return Store(path, lock), (
            f"The history was damaged ({error}). It is kept as {aside}, and a new one begins.",
        )


def _set_aside(path: Path) -> str:
    """Rename a damaged database, with what belongs to it; return its new name."""
    number = 1
    while _beside(path, f".bad{number}").exists():
        number += 1
    for ending in _BESIDE:
        with suppress(FileNotFoundError):
            _beside(path, ending).replace(_beside(path, f".bad{number}{ending}"))
    return f"{path.name}.bad{number}"


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(f"BEGIN; {_TABLES}")
    indexed, plain = _WORDS
    try:
        connection.execute(indexed)
    except sqlite3.OperationalError:
        connection.execute(plain)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
