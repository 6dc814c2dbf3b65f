"""The folder of adapters: finding one by name, listing all. Nothing outside it is ever touched."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from engine.errors import BadRequest, NotFound

SUFFIX: Final = ".safetensors"
MAX_DEPTH: Final = 8
MAX_ENTRIES: Final = 20_000
"""Files and folders that a listing looks at; what lies beyond is not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraEntry:
    """An adapter file of the folder.

    name: its place in the folder, with `/` between folders. size: bytes. changed: time of the last
    change, in nanoseconds; with the names it tells whether a listing is out of date.
    """

    name: str
    path: Path
    size: int
    changed: int


def list_loras(folder: Path) -> tuple[LoraEntry, ...]:
    """Return the adapter files of a folder and its sub-folders, by name; none where it is missing.

    No file is opened, so that a damaged one does no harm. Links that lead out of the folder, hidden
    files, and what cannot be read are left out.
    """
    try:
        root = folder.resolve(strict=True)
        found = [entry for file in _files(root) if (entry := _entry(file, root)) is not None]
    except (OSError, RuntimeError):
        return ()
    return tuple(sorted(found, key=lambda entry: (entry.name.casefold(), entry.name)))


def find_lora(name: str, folder: Path) -> Path:
    """Return the file of a name in the folder, with or without its ending, also in sub-folders.

    Raise `BadRequest` for a name that leads out of the folder or fits several files, `NotFound`
    where there is none.
    """
    wanted = PurePosixPath(name.replace("\\", "/"))
    outside = wanted.is_absolute() or ".." in wanted.parts or PureWindowsPath(name).drive
    if outside or "\0" in name:
        raise BadRequest(
            f"The LoRA {name!r:.80} is no name inside {folder}.", "Give a name of that folder."
        )
    entries = list_loras(folder)
    spellings = (str(wanted), f"{wanted}{SUFFIX}")
    exact = [entry for entry in entries if entry.name in spellings]
    below = [e for e in entries if any(e.name.endswith(f"/{text}") for text in spellings)]
    found = exact or below
    if not found:
        raise NotFound(
            f"There is no LoRA {name!r:.80} in {folder}.",
            "Put the file there, or give its path.",
        )
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found[:5])
        raise BadRequest(f"The LoRA {name!r:.80} may be each of {names}.", "Name its folder too.")
    return found[0].path


def _files(root: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the adapter files of a folder and its sub-folders; what is nearer comes first."""
    folders, left = deque([(root, 0)]), MAX_ENTRIES
    while folders:
        place, depth = folders.popleft()
        inside = _inside(place, left)
        left -= len(inside)
        for entry, is_folder in inside:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            # On Windows a junction is a folder that may lead out.
            if is_folder and depth < MAX_DEPTH and path.resolve().is_relative_to(root):
                folders.append((path, depth + 1))
            elif not is_folder and entry.name.lower().endswith(SUFFIX):
                yield entry


def _inside(folder: Path, most: int) -> list[tuple[os.DirEntry[str], bool]]:
    """Return what lies in a folder and whether each is one, links are not; at most so many."""
    try:
        with os.scandir(folder) as found:
            return [(entry, entry.is_dir(follow_symlinks=False)) for entry in islice(found, most)]
    except OSError:
        return []


def _entry(found: os.DirEntry[str], root: Path) -> LoraEntry | None:
    path = Path(found.path)
    try:
        if found.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
            return None
        state = found.stat()
    except (OSError, RuntimeError):
        return None
    name = path.relative_to(root).as_posix()
    if not stat.S_ISREG(state.st_mode) or not name.isprintable():
        return None
    return LoraEntry(name=name, path=path, size=state.st_size, changed=state.st_mtime_ns)
