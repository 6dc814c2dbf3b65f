"""Pictures made small, and kept so; apart, for it needs Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from engine.cache import FOLDER, DiskCache
from engine.errors import UserError
from engine.images.open import open_picture

SIDE: Final = 256
KEPT_BYTES: Final = 1 << 30
"""Some fifty thousand thumbnails."""


def small_jpeg(source: Path | bytes) -> bytes:
    """Return a picture as a JPEG of at most 256 pixels a side; raise `NotFound`, `FileRejected`."""
    picture = open_picture(source)
    picture.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return data.getvalue()


class Thumbnails:
    """Makes a thumbnail when it is first asked for; a file that changed gets a new one."""

    def __init__(self, data_dir: Path) -> None:
        self._cache = DiskCache(data_dir / FOLDER / "thumbnails", ".jpg", KEPT_BYTES)

    def kept(self, path: Path) -> bytes | None:
        """Return the thumbnail of a file (JPEG) if it was made already."""
        try:
            found = self._cache.find(_key(path))
            return None if found is None else found.read_bytes()
        except OSError:
            return None

    def made(self, path: Path) -> bytes | None:
        """Return the thumbnail of a file (JPEG), made now if need be; None for no sound picture."""
        found = self.kept(path)
        if found is not None:
            return found
        try:
            key = _key(path)
            data = small_jpeg(path)
        except (OSError, UserError):
            return None
        self._cache.keep(key, data)
        return data


def _key(path: Path) -> bytes:
    facts = path.stat()
    return f"{path}\n{facts.st_mtime_ns}\n{facts.st_size}".encode()
