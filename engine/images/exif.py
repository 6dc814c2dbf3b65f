"""Texts in the EXIF block of JPEG and WEBP files (TIFF 6.0; Exif 2.32).

A block is TIFF: byte order, then folders of entries (tag, kind, count, value or its place).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

DESCRIPTION: Final = 0x010E
"""Where a picture is described: the recipe."""
COMMENT: Final = 0x9286
"""Where other tools keep what a picture was made from."""
FOLDER: Final = 0x8769
"""Where the folder with the comment begins."""
UNICODE: Final = b"UNICODE\0"

_ORIENTATION: Final = 0x0112
_ENTRY_BYTES: Final = 12
_ASCII, _SHORT = 2, 3
_INSIDE: Final = 4
"""Bytes that stand in an entry itself."""

_Order = Literal["little", "big"]
_ORDERS: Final[Mapping[bytes, _Order]] = MappingProxyType(
    {b"II\x2a\0": "little", b"MM\0\x2a": "big"}
)


def orientation(exif: bytes) -> int:
    """Return how a picture is turned, 1 to 8, by its EXIF block; 1 where that does not say."""
    found = _entry(exif, _ORIENTATION, _SHORT)
    if found is None:
        return 1
    entry, order = found
    return int.from_bytes(entry[8:10], order)


def description(exif: bytes) -> bytes | None:
    """Return the text that describes the picture of an EXIF block; None where none is readable."""
    found = _entry(exif, DESCRIPTION, _ASCII)
    if found is None:
        return None
    entry, order = found
    length, place = int.from_bytes(entry[4:8], order), int.from_bytes(entry[8:], order)
    text = entry[8:] if length <= _INSIDE else exif[place:]
    return text[:length].rstrip(b"\0") or None


def _entry(exif: bytes, tag: int, kind: int) -> tuple[bytes, _Order] | None:
    """Return the first entry of a tag and a kind, and the byte order it is written in."""
    order = _ORDERS.get(exif[:4])
    if order is None:
        return None
    folder = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[folder : folder + 2], order)
    begin = folder + 2
    for offset in range(begin, min(begin + count * _ENTRY_BYTES, len(exif) - 11), _ENTRY_BYTES):
        entry = exif[offset : offset + _ENTRY_BYTES]
        if (int.from_bytes(entry[:2], order), int.from_bytes(entry[2:4], order)) == (tag, kind):
            return entry, order
    return None
