"""What every header of a model file is made of, and the limits that hold for each kind of file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_TENSORS: Final = 20_000
MAX_NAME_CHARACTERS: Final = 256
MAX_RANK: Final = 6
MAX_DIMENSION: Final = 2**40
MAX_METADATA_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: number type, shape, and where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a header says.

    digest: SHA-256 of the header. end: bytes of the file that it accounts for. padding: bytes that
    may follow those.
    """

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    digest: str
    end: int
    padding: int = 0


class Malformed(Exception):
    """What is wrong with a header, as a clause."""


def check_name(name: str) -> None:
    """Raise `Malformed` unless `name` can be the name of a tensor."""
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise Malformed(f"the tensor name {name[:40]!r} is empty, too long or not printable")
