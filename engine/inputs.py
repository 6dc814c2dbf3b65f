"""Pictures and masks that requests begin with: kept by content, so that a job can be run again."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.errors import FileRejected, NotFound
from engine.request import Request
from engine.storage import atomic_write, is_remote, make_folder, read_bounded, sweep_temporary

PREFIX: Final = "input:"
FOLDER: Final = "inputs"
"""Inside the data folder."""
MAX_INPUT_BYTES: Final = 64 << 20
YOUNG_SECONDS: Final = 1800
"""So long a picture stays whatever is cleared: it may lie in a form, or belong to a job that is
being accepted at this moment and written down at the next."""

_HASH = re.compile(r"[0-9a-f]{64}")


class Inputs:
    """Files named by the SHA-256 of what they hold: the same picture is kept once."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def keep(self, source: Path | bytes) -> str:
        """Copy a file, or bytes, and return its name, `input:` and 64 hex digits.

        Of at most 64 MiB; whether it is a picture is seen when it is opened. Raise `NotFound`,
        `FileRejected` for what is too large or no plain file, or `DiskError`.
        """
        data = source if isinstance(source, bytes) else read_bounded(source, MAX_INPUT_BYTES)
        if len(data) > MAX_INPUT_BYTES:
            raise FileRejected(
                f"The picture has {len(data):,} bytes, more than {MAX_INPUT_BYTES:,}.",
                "Make it smaller first.",
            )
        digest = hashlib.sha256(data).hexdigest()
        path = self._folder / digest
        if path.is_file():
            _make_young(path)
        else:
            make_folder(self._folder)
            atomic_write(path, data)
            sweep_temporary(self._folder)
        return PREFIX + digest

    def path(self, name: str) -> Path:
        """Return the file of a name; raise `NotFound`."""
        digest = name.removeprefix(PREFIX)
        path = self._folder / digest
        if not name.startswith(PREFIX) or not _HASH.fullmatch(digest) or not path.is_file():
            raise NotFound(
                f"The input picture {name!r:.80} is not kept here.", "Give the picture again."
            )
        return path

    def size(self) -> int:
        """Return how many bytes all of them take."""
        return sum(size for _, size in self._files())

    def clear(self, keep: Collection[str]) -> int:
        """Remove what has no name in `keep` and is not young; return how many bytes that freed."""
        freed, limit = 0, time.time() - YOUNG_SECONDS
        for path, size in self._files():
            if PREFIX + path.name in keep:
                continue
            # Windows lets nobody remove a file that a job has open.
            with suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    freed += size
        return freed

    def _files(self) -> list[tuple[Path, int]]:
        try:
            with os.scandir(self._folder) as entries:
                plain = [e for e in entries if e.is_file(follow_symlinks=False)]
                return [(Path(e.path), e.stat().st_size) for e in plain if _HASH.fullmatch(e.name)]
        except OSError:
            # Nothing was kept yet, or another cleared it meanwhile.
            return []


def find_input(name_or_path: str, data_dir: Path) -> Path:
    """Return the file of a request's picture, named or given as a path; raise `NotFound`."""
    if name_or_path.startswith(PREFIX):
        return Inputs(data_dir).path(name_or_path)
    path = Path(name_or_path)
    if is_remote(name_or_path) or not path.is_file():
        raise NotFound(f"There is no picture {name_or_path!r:.200}.", "Check the path.")
    return path


def keep_inputs(request: Request, data_dir: Path) -> Request:
    """Return a request whose pictures and masks are all kept, and named instead of given by path.

    Raise `NotFound`, `FileRejected` or `DiskError`.
    """
    if not uses(request):
        return request
    inputs = Inputs(data_dir)

    def kept(name_or_path: str) -> str:
        path = find_input(name_or_path, data_dir)
        if not name_or_path.startswith(PREFIX):
            return inputs.keep(path)
        _make_young(path)
        return name_or_path

    return _renamed(request, kept)


def uses(request: Request) -> tuple[str, ...]:
    """Return the names or paths of all pictures and masks that a request begins with."""
    mask = () if request.mask is None else (request.mask,)
    return (*request.images, *mask, *(region.mask for region in request.regions))


def _make_young(path: Path) -> None:
    """Have a file count as kept just now."""
    # Of another's folder: what cannot be written to is not cleared either.
    with suppress(OSError):
        os.utime(path)


def _renamed(request: Request, rename: Callable[[str], str]) -> Request:
    return request.with_values(
        images=tuple(rename(image) for image in request.images),
        mask=None if request.mask is None else rename(request.mask),
        regions=tuple(replace(region, mask=rename(region.mask)) for region in request.regions),
    )
