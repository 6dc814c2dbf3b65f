"""The one door for files: whole or not at all, under names that cannot leave their folder."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
import unicodedata
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from engine.errors import BadRequest, DiskError, FileRejected, NotFound

TEMPORARY_PREFIX = ".atelier-"
TEMPORARY_SUFFIX = ".tmp"
STALE_SECONDS = 3600.0
MAX_NAME_BYTES = 255

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Network and FUSE file systems answer so when a folder cannot be synced; the file itself is safe.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EBADF})
_NOT_IN_NAMES = frozenset('/\\:<>"|?*')
_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)


def project_root() -> Path:
    """Return the folder that holds app.py."""
    return Path(__file__).resolve().parent.parent


def make_folder(path: Path) -> None:
    """Create a folder and its parents where missing; raise `DiskError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DiskError(
            f"The folder {path} could not be made: {_reason(error)}.", _next_step(error)
        ) from error


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that other processes see the old bytes or all the new ones, never a part.

    The folder must exist. Survives a kill and a power cut; raise `DiskError` naming the folder and
    the bytes needed, leaving what was there before.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        _write_through(temporary, data)
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise DiskError(
            f"Could not write {len(data):,} bytes for {path.name} to the folder {path.parent}: "
            f"{_reason(error)}.",
            _next_step(error),
        ) from error
    finally:
        # Where even this fails, the sweep at the next start removes the file.
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


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


def safe_child(root: Path, name: str) -> Path:
    """Return the path of a file or folder directly inside `root`.

    `name` is one component that Windows, macOS and Linux all take literally; it is normalised to
    NFC unless it exists as given. Raise `BadRequest` for anything else, links that leave included.
    """
    problem = _name_problem(name)
    if problem:
        raise BadRequest(f"The name {name!r:.80} {problem}.", "Choose another name.")
    child = root / name
    if not os.path.lexists(child):
        child = root / unicodedata.normalize("NFC", name)
    try:
        inside = child.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise BadRequest(f"The name {name!r:.80} cannot be followed: {error}.") from error
    if not inside:
        raise BadRequest(f"The name {name!r:.80} leads out of the folder {root}.")
    return child


def picture_name(now: datetime, suffix: str = ".png") -> str:
    """Return a fresh file name that sorts by time: YYYYMMDD-HHMMSS-mmm-<8 hex digits><suffix>."""
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(4)}{suffix}"


def sweep_temporary(folder: Path) -> int:
    """Remove what killed writers left in a folder over an hour ago; return how many files."""
    limit = time.time() - STALE_SECONDS
    removed = 0
    for path in folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        # Another process may sweep, or finish its file, at the same moment.
        with suppress(OSError):
            if path.lstat().st_mtime < limit:
                path.unlink()
                removed += 1
    return removed


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut; Windows has no such call and needs none."""
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


def _name_problem(name: str) -> str:
    """Return why a name is not one plain component everywhere, or nothing."""
    if not name or name.strip(". ") == "":
        return "is empty"
    if any(character in _NOT_IN_NAMES or not character.isprintable() for character in name):
        return "has a character that names may not have"
    if name[-1] in ". " or name[0] == " ":
        return "begins or ends with a space or a dot"
    if name.split(".")[0].rstrip().upper() in _RESERVED:
        return "is reserved by Windows"
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        return f"has more than {MAX_NAME_BYTES} bytes"
    return ""
