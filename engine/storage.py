"""The one door for files: written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from engine.errors import DiskError, FileRejected, NotFound

TEMPORARY_PREFIX = ".atelier-"
TEMPORARY_SUFFIX = ".tmp"
STALE_SECONDS = 3600.0
LOCK_SECONDS = 10.0

_LOCK_PAUSE = 0.01
_COPIED_AT_ONCE = 1 << 24

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Network and FUSE file systems answer so when a folder cannot be synced; the file itself is safe.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EBADF})


def project_root() -> Path:
    """Return the folder that holds app.py."""
    return Path(__file__).resolve().parent.parent


def without_home(text: str) -> str:
    """Return a text in which the user's home folder is written `~`."""
    try:
        home = Path.home()
    except RuntimeError:
        # Neither the environment nor the system names one: a container under a foreign user id.
        return text
    # A home of `/` would turn every separator into `~`.
    return text if home == home.parent else text.replace(str(home), "~")


def is_remote(path: str) -> bool:
    """Say whether a path leads to another computer, which would learn who asks."""
    return path.startswith(("\\\\", "//"))


def make_folder(path: Path) -> None:
    """Create a folder and its parents where missing; raise `DiskError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DiskError(
            f"The folder {path} could not be made: {_reason(error)}.", _next_step(error)
        ) from error


def check_writable(folder: Path) -> None:
    """Raise `DiskError` if files cannot be made in a folder, or it cannot be made itself."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DiskError(
            f"The folder {folder} cannot be written to.", "Choose another, or change its rights."
        )


def temporary_beside(path: Path) -> Path:
    """Return a fresh name in the folder of a file, which the sweep knows."""
    return path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside `path`; what was put into it moves there at the end, or goes.

    A folder that is there keeps what is not replaced. Raise `DiskError`.
    """
    build = temporary_beside(path)
    make_folder(build)
    try:
        yield build
        files = [found for found in build.rglob("*") if found.is_file()]
        for file in files:
            place = path / file.relative_to(build)
            make_folder(place.parent)
            file.replace(place)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        shutil.rmtree(build, ignore_errors=True)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that other processes see the old bytes or all the new ones, never a part.

    The folder must exist. Survives a kill and a power cut; raise `DiskError` naming the folder and
    the bytes needed, leaving what was there before.
    """
    temporary = temporary_beside(path)
    try:
        _write_through(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise disk_error(path, error, len(data)) from error
    finally:
        # Where even this fails, the sweep at the next start removes the file.
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece; it takes its name when the block ends well.

    Promises what `atomic_write` does, and raises `DiskError` as it does.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise disk_error(path, error) from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file another name, or where that cannot be a copy; what had the name is replaced.

    The folder must exist. Raise `DiskError`, or `NotFound` and `FileRejected` for the source.
    """
    temporary = temporary_beside(path)
    try:
        temporary.hardlink_to(source.resolve())
        temporary.replace(path)
    except (OSError, ValueError):
        # Another disk, or a file system without links.
        with open_plain(source) as stream, atomic_stream(path) as copy:
            shutil.copyfileobj(stream, copy, _COPIED_AT_ONCE)
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep others out while a file is read, changed and written back; makes its folder.

    Holds between threads and between processes that ask here, by a lock file beside the file.
    Raise `DiskError` after `LOCK_SECONDS` in which another kept it.
    """
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + LOCK_SECONDS
    # The lock file stays: who removes it could take it from under another who waits for it.
    with open_shared(beside) as stream:
        while not try_lock(stream):
            if time.monotonic() > deadline:
                raise DiskError(f"Another program keeps {path} to itself.", "Try again later.")
            time.sleep(_LOCK_PAUSE)
        yield


def open_shared(path: Path) -> BinaryIO:
    """Open a file to read and write, unbuffered, and make it where missing; raise `DiskError`."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT, 0o666)

    try:
        return open(path, "r+b", buffering=0, opener=opener)
    except OSError as error:
        raise disk_error(path, error) from error


def remove_file(path: Path) -> None:
    """Remove a file that may be gone already; raise `DiskError`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"Could not remove {path.name} from the folder {path.parent}: {_reason(error)}.",
            _next_step(error),
        ) from error


def disk_error(path: Path, error: OSError | ValueError, size: int | None = None) -> DiskError:
    """Return what to say when a file, or `size` bytes of it, could not be written."""
    bytes_of_it = "" if size is None else f"{size:,} bytes for "
    return DiskError(
        f"Could not write {bytes_of_it}{path.name} to the folder {path.parent}: {_reason(error)}.",
        _next_step(error),
    )


def sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut; Windows has no such call and needs none.

    Raise `OSError` where the folder cannot be written to.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading; pipes, devices and folders are refused without waiting.

    Raise `NotFound`, or `FileRejected` with the reason.
    """
    # A pipe without a writer would block for ever in a plain open().
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", "Check the name.") from error
    except (OSError, ValueError) as error:
        raise FileRejected(f"{path} cannot be read: {_reason(error)}.") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise FileRejected(f"{path} is no plain file.", "Give a file.")


def read_bounded(path: Path, limit: int) -> bytes:
    """Return all bytes of a plain file of at most `limit` bytes.

    Raise `NotFound`, or `FileRejected` with the reason.
    """
    with open_plain(path) as stream:
        try:
            data = stream.read(limit + 1)
        except OSError as error:
            raise FileRejected(f"{path} cannot be read: {_reason(error)}.") from error
    if len(data) > limit:
        raise FileRejected(f"{path} has more than {limit:,} bytes.")
    return data


def picture_name(now: datetime, suffix: str = ".png") -> str:
    """Return a fresh file name that sorts by time: YYYYMMDD-HHMMSS-mmm-<8 hex digits><suffix>."""
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(4)}{suffix}"


def sweep_temporary(folder: Path) -> int:
    """Remove files and folders that killed writers left over an hour ago; return how many."""
    limit = time.time() - STALE_SECONDS
    found: list[Path] = []
    # A folder that may not be searched cannot be written to either.
    with suppress(OSError):
        found.extend(folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"))
    removed = 0
    for path in found:
        # Another process may sweep, or finish its file, at the same moment.
        with suppress(OSError):
            if max(part.lstat().st_mtime for part in (path, *path.rglob("*"))) < limit:
                _remove(path)
                removed += 1
    return removed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _next_step(error: OSError | ValueError) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code in _FULL:
        return "Free some space, or choose another folder."
    if code in _FORBIDDEN:
        return "Choose a folder that you may write to."
    if code in {errno.ENOENT, errno.ENOTDIR}:
        return "Create the folder, or choose another one."
    return "Check the disk, or choose another folder."


if sys.platform == "win32":
    import msvcrt

    # Far beyond the end: Windows lets nobody read or write bytes that are locked.
    _LOCKED_BYTE = 1 << 40

    def try_lock(stream: BinaryIO) -> bool:
        """Lock an open file until it is closed; return False where another has it locked."""
        stream.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(stream: BinaryIO) -> bool:
        """Lock an open file until it is closed; return False where another has it locked.

        Raise `DiskError` on a disk that knows no locks.
        """
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DiskError(
                f"The folder of {stream.name} cannot lock files: {error.strerror}.",
                "Choose a folder on a disk of this machine.",
            ) from error
        return True
