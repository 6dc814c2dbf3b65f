"""The models that the user pointed at, by name: a small file in the data folder remembers where.

Only paths are kept. A file that has gone stays listed, as absent, until it is removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoints.files import label, read_object
from engine.checkpoints.look import look
from engine.checkpoints.recognise import Role
from engine.errors import BadRequest, FileRejected, NotFound
from engine.storage import atomic_write, exclusive, is_remote
from engine.variants import SHORT_NAMES, VARIANTS

FILE: Final = "models.json"
MAX_MODELS: Final = 200
MAX_NAME: Final = 80

_NAME: Final = re.compile(rf"[^\W_][\w .()+-]{{0,{MAX_NAME - 1}}}")
_ODD: Final = re.compile(r"[^\w .()+-]|^[\W_]+")


@dataclass(frozen=True, slots=True)
class Known:
    """A model in the list. is_here: whether something lies at its path."""

    name: str
    path: Path
    is_here: bool


class Library:
    """The list of models in a data folder; every call reads it anew."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def list(self) -> tuple[Known, ...]:
        """Return all models in the order in which they were added; raise `FileRejected`."""
        return tuple(Known(name, path, _is_here(path)) for name, path in self._read().items())

    def find(self, name: str) -> Path | None:
        """Return where the model of a name lies, None if the list has no such name.

        Raise `FileRejected` where the list is damaged, unless the name is the path of something.
        """
        try:
            return self._read().get(name)
        except FileRejected:
            if _is_here(Path(name)):
                return None
            raise

    def add(self, path: Path, name: str | None = None) -> Known:
        """Add a model's file or folder, by default under its own name.

        A path that is in the list keeps its name. Raises `NotFound`, `FileRejected` for what is no
        transformer of this family, and `BadRequest` for a name that is taken or cannot be.
        """
        if is_remote(str(path)):
            raise BadRequest(f"{path} lies on another computer.", "Copy it to this one.")
        if Role.TRANSFORMER not in look(path).parts:
            raise FileRejected(f"{label(path)} holds no transformer.", "Add the file that does.")
        with exclusive(self._file):
            return self._add(path, name)

    def remove(self, name: str) -> None:
        """Take a model off the list, not off the disk; raise `NotFound`."""
        with exclusive(self._file):
            known = self._read()
            if name not in known:
                raise NotFound(f"There is no model {name!r:.80} in the list.", "See models list.")
            self._write({other: path for other, path in known.items() if other != name})

    def _add(self, path: Path, name: str | None) -> Known:
        known, place = self._read(), path.absolute()
        for other, kept in known.items():
            if kept == place and name in {None, other}:
                return Known(other, place, is_here=True)
        chosen = _free(_own_name(path), known) if name is None else _checked(name, known)
        if len(known) >= MAX_MODELS:
            raise BadRequest(f"The list holds {MAX_MODELS} models already.", "Remove one first.")
        self._write({**known, chosen: place})
        return Known(chosen, place, is_here=True)

    def _read(self) -> dict[str, Path]:
        if not self._file.is_file():
            return {}
        values = read_object(self._file)
        if len(values) > MAX_MODELS or not all(isinstance(p, str) for p in values.values()):
            raise FileRejected(
                f"{label(self._file)} is not a list of models.", "Mend it, or delete it."
            )
        return {name: Path(path) for name, path in values.items()}

    def _write(self, known: dict[str, Path]) -> None:
        values = {name: str(path) for name, path in known.items()}
        atomic_write(self._file, (json.dumps(values, indent=1) + "\n").encode())


def _is_here(path: Path) -> bool:
    """Say whether something lies at a path; asking another computer could tell it who asks."""
    try:
        return not is_remote(str(path)) and path.exists()
    except (OSError, ValueError):
        return False


def _own_name(path: Path) -> str:
    """Return a name made of a file's or folder's own."""
    place = path.absolute()
    words = place.name if place.is_dir() else place.stem
    return _ODD.sub("", words)[: MAX_NAME - 4].strip() or "model"


def _free(name: str, taken: Iterable[str]) -> str:
    used = {*taken, *_reserved()}
    return next(n for i in range(1, MAX_MODELS + 9) if (n := _numbered(name, i)) not in used)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _checked(name: str, taken: Iterable[str]) -> str:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"A model cannot be called {name!r:.100}.",
            f"Use up to {MAX_NAME} letters, digits, blanks and .()+-_ for its name.",
        )
    if name in {*taken, *_reserved()}:
        raise BadRequest(f"There is a model called {name!r} already.", "Choose another name.")
    return name


def _reserved() -> set[str]:
    return {*SHORT_NAMES, *(variant.name for variant in VARIANTS)}
