"""A folder of things that can be made again: found by key, bounded, and never worth a failure."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from engine.errors import DiskError
from engine.storage import atomic_write, make_folder, sweep_temporary

FOLDER = "cache"
"""Inside the data folder; whoever deletes it loses time and nothing else."""

_log = logging.getLogger(__name__)


class DiskCache:
    """Files named by a hash of their keys, so that the names tell nothing.

    Several processes may share the folder. Whoever reads a file checks its content, and drops it
    if it is damaged.
    """

    def __init__(self, folder: Path, ending: str, limit: int) -> None:
        """Keep files that end in `ending`; beyond `limit` bytes those used least recently go."""
        self._folder = folder
        self._ending = ending
        self._limit = limit

    def find(self, key: bytes) -> Path | None:
        """Return the file that is kept under a key, if there is one, and note that it was used."""
        path = self._path(key)
        try:
            if not path.is_file():
                return None
            # A folder that may only be read serves too; its files then all look equally old.
            with suppress(OSError):
                os.utime(path)
        except OSError:
            return None
        return path

    def keep(self, key: bytes, data: bytes) -> None:
        """Keep bytes under a key; where the folder cannot be written to, a line in the log."""
        if len(data) > self._limit:
            return
        try:
            make_folder(self._folder)
            atomic_write(self._path(key), data)
        except DiskError as error:
            _log.warning("Nothing is kept for later: %s", error)
            return
        sweep_temporary(self._folder)
        self._make_room()

    def drop(self, key: bytes, reason: str) -> None:
        """Remove what is kept under a key, and say why in the log."""
        _log.warning("A kept file is made again: %s", reason)
        # Another process may hold it open, or may have removed it.
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{hashlib.sha256(key).hexdigest()}{self._ending}"

    def _make_room(self) -> None:
        kept = sorted(self._entries())
        excess = sum(size for _, size, _ in kept) - self._limit
        for _, size, path in kept:
            if excess <= 0:
                return
            with suppress(OSError):
                path.unlink(missing_ok=True)
            excess -= size

    def _entries(self) -> list[tuple[int, int, Path]]:
        """Return time of last use, size and path of every file."""
        found = []
        for path in self._folder.glob(f"*{self._ending}"):
            # Another process may have removed it meanwhile.
            with suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        return found
