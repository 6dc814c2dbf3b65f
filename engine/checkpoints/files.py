"""Opens a model's files; everything that can go wrong becomes one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine import strict_json
from engine.errors import FileRejected
from engine.storage import open_plain, read_bounded

MAX_CONFIG_BYTES: Final = 1_000_000
MAX_CONFIG_VALUES: Final = 50_000


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file for reading; raise `NotFound`, or `FileRejected` also for later faults."""
    with open_plain(path) as file:
        try:
            yield file
        except OSError as error:
            reason = error.strerror or str(error)
            raise FileRejected(
                f"{label(path)} cannot be read: {reason}.", "Check the disk that holds it."
            ) from error


def read_object(
    path: Path, max_bytes: int = MAX_CONFIG_BYTES, max_values: int = MAX_CONFIG_VALUES
) -> dict[str, Any]:
    """Read a JSON object; raise `NotFound`, or `FileRejected` for anything else."""
    data = read_bounded(path, max_bytes)
    found = count_values(data)
    if found > max_values:
        raise FileRejected(f"{label(path)} holds {found:,} values, more than {max_values:,}.")
    values = strict_json.parse(data, label(path), max_bytes=max_bytes)
    if not isinstance(values, dict):
        raise FileRejected(f"{label(path)} does not hold a JSON object.", "Download it again.")
    return values


def count_values(data: bytes) -> int:
    """Return an upper bound of the values in a JSON text, before it is parsed.

    A few megabytes of `{},{},...` fill hundreds when parsed.
    """
    return sum(data.count(mark) for mark in (b",", b"{", b"["))


def label(path: Path) -> str:
    """Name a file: a relative path, as it was given; else by its folder and name.

    That is enough to find it, and tells nothing about the machine.
    """
    words = path.parts[1:][-2:] if path.is_absolute() else path.parts
    return ("/".join(words) or str(path)).encode("utf-8", "replace").decode()
