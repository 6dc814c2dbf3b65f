"""What the program keeps to be faster or kinder: how much room it takes, and how it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.cache import FOLDER

TRASH: Final = "trash"
"""Inside the data folder: pictures that were thrown away, until it is emptied."""


class Keep(StrEnum):
    """Kinds of things that are kept.

    PROMPTS: what the text encoder made of prompts. REFERENCES: what networks made of input
    pictures. SLABS: weights laid out to be streamed. SMALL: thumbnails and the heads of files.
    PAGE: copies of pictures on the page. INPUTS: pictures that requests began with. TRASH: pictures
    that were thrown away.
    """

    PROMPTS = "prompts"
    REFERENCES = "references"
    SLABS = "slabs"
    SMALL = "small"
    PAGE = "page"
    INPUTS = "inputs"
    TRASH = "trash"


FOLDERS: Final[Mapping[Keep, str]] = MappingProxyType(
    {
        Keep.PROMPTS: f"{FOLDER}/prompts",
        Keep.REFERENCES: f"{FOLDER}/references",
        Keep.SLABS: f"{FOLDER}/slabs",
        Keep.PAGE: "page",
        Keep.TRASH: TRASH,
    }
)
"""Where in the data folder they lie; the small ones are what else lies among the caches."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much room one kind takes, in bytes."""

    kind: Keep
    size: int


def folder_size(data_dir: Path, kind: Keep) -> int:
    """Return how many bytes the files of a kind take."""
    return sum(_size(path) for path in _files(data_dir, kind))


def clear_folder(data_dir: Path, kind: Keep) -> int:
    """Remove the files of a kind, save those that are in use; return how many bytes that freed."""
    freed = 0
    for path in _files(data_dir, kind):
        size = _size(path)
        # Windows lets nobody remove what another program reads.
        with suppress(OSError):
            path.unlink()
            freed += size
    return freed


def _files(data_dir: Path, kind: Keep) -> Iterator[Path]:
    """Yield the plain files of a kind; links are not followed."""
    apart = {data_dir / name for name in FOLDERS.values()}
    root = data_dir / FOLDERS.get(kind, FOLDER)
    for path in list(root.rglob("*")):
        if kind is Keep.SMALL and apart & {*path.parents}:
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
