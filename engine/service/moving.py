"""Moves what is in a folder elsewhere, to another drive too: all of it, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from engine.errors import BadRequest, Cancelled, DiskError
from engine.settings import MODELS, Settings
from engine.storage import (
    TEMPORARY_PREFIX,
    atomic_stream,
    check_writable,
    disk_error,
    make_folder,
    open_plain,
)

COPIED_AT_ONCE: Final = 1 << 24

OUTPUT_FOLDER: Final = "output_folder"
FOLDER_NAMES: Final = (OUTPUT_FOLDER, "lora_folder", "model_folder")
"""The folders of the settings whose files can be moved."""

Tell = Callable[[int, int], None]
"""Told how many bytes of how many are there."""


def folder_of(settings: Settings, name: str) -> Path:
    """Return a folder of the settings; where none is named for models, the one they lie in."""
    named: Path | None = getattr(settings, name)
    return named or settings.data_dir / MODELS


def move_folder(
    old: Path,
    new: Path,
    tell: Tell = lambda *_: None,
    cancelled: Callable[[], bool] = lambda: False,
    settle: Callable[[], None] = lambda: None,
) -> int:
    """Move the files of a folder into another, and return how many; `old` goes if it is empty then.

    On another drive a file is copied, and its original is removed once all are there. What is being
    written stays. settle: writes down where the files are once all have moved. Raise `BadRequest`
    for folders of which one lies in the other, or a file that is there already; `DiskError` where
    the drive is full or may not be written to; `Cancelled`; and what `settle` raises. Nothing has
    moved then.
    """
    old, new = old.resolve(), new.resolve()
    if old == new or not old.is_dir():
        settle()
        return 0
    if old in new.parents or new in old.parents:
        raise BadRequest(f"{new} and {old} lie in each other.", "Choose a folder elsewhere.")
    files = [path for path in sorted(old.rglob("*")) if _is_whole(path, old)]
    _check(old, new, files)
    total, done = sum(path.lstat().st_size for path in files), 0
    copied = []
    with ExitStack() as undo:
        for path in files:
            if cancelled():
                raise Cancelled("The folder stays where it was.")
            place = new / path.relative_to(old)
            size = path.lstat().st_size
            copied += _bring(path, place, undo)
            done += size
            tell(done, total)
        settle()
        undo.pop_all()
    _leave(old, copied)
    return len(files)


def _is_whole(path: Path, folder: Path) -> bool:
    """Say whether a path inside a folder is a file or a link that nobody writes any more."""
    if any(part.startswith(TEMPORARY_PREFIX) for part in path.relative_to(folder).parts):
        return False
    return path.is_file() or path.is_symlink()


def _check(old: Path, new: Path, files: list[Path]) -> None:
    check_writable(new)
    places = (new / path.relative_to(old) for path in files)
    there = next((place for place in places if os.path.lexists(place)), None)
    if there is not None:
        raise BadRequest(f"There is a file {there} already.", "Choose an empty folder.")
    make_folder(new)
    needed = sum(path.lstat().st_size for path in files)
    free = shutil.disk_usage(new).free
    if new.stat().st_dev != old.stat().st_dev and free < needed:
        raise DiskError(
            f"The drive of {new} has {free:,} bytes free, and {needed:,} are to go there.",
            "Free some space, or choose another drive.",
        )


def _bring(path: Path, place: Path, undo: ExitStack) -> list[Path]:
    """Bring one file to its place; return it if a copy was made and the original still is there."""
    make_folder(place.parent)
    try:
        path.rename(place)
        undo.callback(_put_back, place, path)
        return []
    except OSError:
        undo.callback(place.unlink, missing_ok=True)
    if path.is_symlink():
        try:
            place.symlink_to(path.readlink())
        except OSError as error:
            raise disk_error(place, error) from error
        return [path]
    with open_plain(path) as source, atomic_stream(place) as copy:
        shutil.copyfileobj(source, copy, COPIED_AT_ONCE)
    with suppress(OSError):
        shutil.copystat(path, place)
    return [path]


def _put_back(place: Path, path: Path) -> None:
    with suppress(OSError):
        place.rename(path)


def _leave(old: Path, copied: list[Path]) -> None:
    """Remove originals, and folders that are empty now; what is in use stays."""
    for path in copied:
        with suppress(OSError):
            path.unlink()
    for folder in sorted((path for path in old.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        old.rmdir()
