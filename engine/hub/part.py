"""A file that is still coming: it lies beside its place as `.part` until all of it is there.

Its name holds the hash of the file it is to become, so that bytes of another version are never
continued. While one process writes it, others wait.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from engine.hub.watch import Watch
from engine.storage import disk_error, make_folder, open_shared, sync_folder, try_lock

PART_SUFFIX: Final = ".part"
WAIT_SECONDS: Final = 0.3
READ_BYTES: Final = 1 << 20
_IDENTITY_DIGITS: Final = 16


class Part:
    """The bytes of a file so far, hashed as they come. Made by `open_part`."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        """Take an open and locked file."""
        self.path = path
        self.position = 0
        self._stream = stream
        self._sha256 = hashlib.sha256()

    def take_up(self, size: int, watch: Watch) -> None:
        """Read what an earlier run left, up to `size` bytes; raise `DiskError` or `Cancelled`."""
        try:
            self._stream.seek(0)
            while self.position < size and (data := self._stream.read(READ_BYTES)):
                watch.check()
                self._count(data[: size - self.position])
        except OSError as error:
            raise disk_error(self.path, error) from error

    def append(self, data: bytes) -> None:
        """Add bytes at the end; raise `DiskError`."""
        try:
            self._stream.seek(self.position)
            left = memoryview(data)
            while left:
                # A file without a buffer may take less than it is given.
                left = left[self._stream.write(left) :]
        except OSError as error:
            raise disk_error(self.path, error, len(data)) from error
        self._count(data)

    def clear(self) -> None:
        """Start from nothing; raise `DiskError`."""
        try:
            self._stream.seek(0)
            self._stream.truncate(0)
        except OSError as error:
            raise disk_error(self.path, error) from error
        self.position = 0
        self._sha256 = hashlib.sha256()

    def sha256(self) -> str:
        """Return the sum of the bytes so far, in hex."""
        return self._sha256.hexdigest()

    def git_sha1(self) -> str:
        """Return the name git gives to these bytes; raise `DiskError`."""
        digest = hashlib.sha1(b"blob %d\0" % self.position, usedforsecurity=False)
        try:
            self._stream.seek(0)
            while data := self._stream.read(READ_BYTES):
                digest.update(data)
        except OSError as error:
            raise disk_error(self.path, error) from error
        return digest.hexdigest()

    def discard(self) -> None:
        """Remove the unfinished file; nothing can be done with it after that."""
        if sys.platform == "win32":
            # There an open file cannot be removed.
            self._stream.close()
        # What stays is gone on with, and found wrong again, when the file is wanted again.
        with suppress(OSError):
            self.path.unlink()

    def finish(self, final: Path) -> None:
        """Put the file in its place, all or nothing, to outlast a power cut; raise `DiskError`."""
        try:
            self._stream.truncate(self.position)
            os.fsync(self._stream.fileno())
            if sys.platform == "win32":
                # There an open file cannot be moved.
                self._stream.close()
            self.path.replace(final)
            sync_folder(final.parent)
        except OSError as error:
            raise disk_error(final, error, self.position) from error
        for other in final.parent.glob(f"{final.name}.*{PART_SUFFIX}"):
            # Bytes of another version, which nothing will ask for any more.
            with suppress(OSError):
                other.unlink()

    def _count(self, data: bytes) -> None:
        self._sha256.update(data)
        self.position += len(data)


def part_path(final: Path, identity: str) -> Path:
    """Return where the bytes of a file lie while it is coming. identity: its hash in hex."""
    return final.with_name(f"{final.name}.{identity[:_IDENTITY_DIGITS]}{PART_SUFFIX}")


@contextmanager
def open_part(final: Path, identity: str, watch: Watch) -> Iterator[Part]:
    """Open the unfinished file for writing, alone; wait while another process writes it.

    Raise `DiskError`, or `Cancelled` while waiting.
    """
    path = part_path(final, identity)
    make_folder(path.parent)
    while True:
        with open_shared(path) as stream:
            if try_lock(stream) and _is_still(stream, path):
                yield Part(path, stream)
                return
        watch.sleep(WAIT_SECONDS)


def _is_still(stream: BinaryIO, path: Path) -> bool:
    """Whether an open file still bears its name: the one who locked it before may have moved it."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
