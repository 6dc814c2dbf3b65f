"""Headers of files that are only needed now and then: kept, so that the file stays closed.

Kept is the beginning of a file and the few other bytes that tell what it is. Both pass the same
checks as when they are read from the file, and only count while nothing about the file changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import time
from pathlib import Path
from typing import Any, Final

from engine import strict_json
from engine.cache import FOLDER, DiskCache
from engine.checkpoints.files import label, opened
from engine.checkpoints.header import Header, header_of, read_header, stamp_of
from engine.errors import FileRejected, UserError
from engine.storage import read_bounded

HEADERS: Final = "headers"
"""Folder of kept headers, inside the folder of caches."""

MAX_BYTES: Final = 64_000_000
RESTING_NS: Final = 3_000_000_000
"""A file changed less long ago may change again within one tick of its disk's clock."""

_DIGEST_BYTES: Final = 32
_MAX_TABLE_BYTES: Final = 1_000_000

Facts = list[int]
"""Size, time of change, identity, and time of any change at all, of a file."""


class HeaderCache:
    """Reads headers, and keeps some in a data folder; without a folder it only reads."""

    def __init__(self, data: Path | None) -> None:
        folder = None if data is None else data / FOLDER / HEADERS
        self._disk = None if folder is None else DiskCache(folder, ".header", MAX_BYTES)

    def read(self, path: Path) -> Header:
        """Return a file's header as `read_header` does, without opening the file if it is kept."""
        facts = _facts(path)
        kept = None if self._disk is None or facts is None else self._disk.find(_key(path))
        if self._disk is None or facts is None or kept is None:
            return read_header(path)
        try:
            return _believed(kept, path, facts)
        except UserError as error:
            self._disk.drop(_key(path), error.message)
        return read_header(path)

    def keep(self, header: Header) -> None:
        """Keep a header and what else is known of its file, unless that is kept or may change."""
        facts = _facts(header.path)
        if self._disk is None or facts is None or _is_fresh(facts):
            return
        if self._disk.find(_key(header.path)) is not None:
            return
        with opened(header.path) as file:
            beginning = file.read(header.first_byte)
            if stamp_of(file) != header.stamp or facts[:3] != list(header.stamp):
                return
        places = [*header.known]
        table = json.dumps({"file": facts, "places": places}).encode()
        parts = [len(table).to_bytes(4, "little"), table, *header.known.values(), beginning]
        content = b"".join(parts)
        self._disk.keep(_key(header.path), hashlib.sha256(content).digest() + content)


def _key(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _facts(path: Path) -> Facts | None:
    """Return what tells that a plain file changed; None where it cannot be asked."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns]


def _is_fresh(facts: Facts) -> bool:
    return max(facts[1], facts[3]) > time.time_ns() - RESTING_NS


def _believed(kept: Path, path: Path, facts: Facts) -> Header:
    """Return the header of the file at `path`, which another file keeps.

    Raises `FileRejected` if that is damaged, or the file at `path` changed since.
    """
    data = read_bounded(kept, MAX_BYTES)
    content = memoryview(data)[_DIGEST_BYTES:]
    if data[:_DIGEST_BYTES] != hashlib.sha256(content).digest() or len(content) < 4:
        raise FileRejected(f"{kept.name} is not as it was written.")
    end = 4 + int.from_bytes(content[:4], "little")
    table = _table(bytes(content[4:end]), kept)
    if table.get("file") != facts:
        raise FileRejected(f"{label(path)} changed.")
    known = {}
    for start, stop in table["places"]:
        known[start, stop] = bytes(content[end : end + stop - start])
        end += stop - start
    header = header_of(io.BytesIO(content[end:]), path, (facts[0], facts[1], facts[2]))
    header.known.update(known)
    return header


def _table(text: bytes, kept: Path) -> dict[str, Any]:
    """Return what a kept file says about itself; raise `FileRejected` unless it may be so."""
    table = strict_json.parse(text, kept.name, max_bytes=_MAX_TABLE_BYTES)
    places = table.get("places") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(places, list):
        raise FileRejected(f"{kept.name} lists no places.")
    for place in places:
        match place:
            case [int(start), int(stop)] if 0 <= start <= stop:
                continue
        raise FileRejected(f"{kept.name} lists the place {place!r:.40}.")
    return table
