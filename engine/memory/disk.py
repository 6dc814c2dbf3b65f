"""How fast a file comes from the disk, as far as the system lets us look past its cache."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from engine.errors import UserError
from engine.storage import open_plain

CHUNK: Final = 16 * 2**20
CHUNKS: Final = 16
PATIENCE: Final = 0.5
"""Seconds after which no further chunk is read."""

PATTERN: Final = "*.safetensors"
MAX_FILES: Final = 1000

SEES_CACHE: Final = hasattr(os, "RWF_NOWAIT")
"""Whether this system tells what lies in its cache; elsewhere the cache may help a reading."""


def sample(*folders: Path | None) -> Path | None:
    """Return the largest safetensors file of the first folder that has one worth reading."""
    for folder in folders:
        if folder is None or not folder.is_dir():
            continue
        sized = [(_size(file), file) for file in islice(folder.rglob(PATTERN), MAX_FILES)]
        size, file = max(sized, default=(0, folder))
        if size >= CHUNK:
            return file
    return None


def disk_rate(file: Path) -> float:
    """Return bytes/s of reading a file in large pieces, 0 where all of it lies in the cache.

    Takes at most a second of a disk that gives 16 MB/s.
    """
    try:
        with open_plain(file) as stream:
            return _rate(stream, _size(file))
    except (UserError, OSError):
        return 0.0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _rate(stream: BinaryIO, size: int) -> float:
    """Read pieces spread over a file; those that lie in the cache tell nothing of the disk."""
    step = max(CHUNK, size // CHUNKS // CHUNK * CHUNK)
    taken = seconds = 0.0
    began = time.perf_counter()
    for start in range(0, size - CHUNK + 1, step):
        if _is_cached(stream.fileno(), start):
            continue
        before = time.perf_counter()
        stream.seek(start)
        taken += len(stream.read(CHUNK))
        now = time.perf_counter()
        seconds += now - before
        if now - began > PATIENCE:
            break
    return taken / seconds if seconds else 0.0


def _is_cached(descriptor: int, start: int) -> bool:
    """Say whether a piece of a file stays in the cache though the system was asked to drop it.

    A piece that a running model has mapped does.
    """
    if not SEES_CACHE:
        return False
    os.posix_fadvise(descriptor, start, CHUNK, os.POSIX_FADV_DONTNEED)
    places = (start, start + CHUNK // 2, start + CHUNK - 1)
    return any(_is_here(descriptor, place) for place in places)


def _is_here(descriptor: int, place: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT) > 0
    except OSError:
        # It would have to wait for the disk, or the file system cannot tell.
        return False
