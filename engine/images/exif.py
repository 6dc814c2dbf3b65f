"""Texts in the EXIF block of JPEG and WEBP files (TIFF 6.0; Exif 2.32).

A block is TIFF: byte order, then folders of entries (tag, kind, count, value or its place).
"""

from __future__ import annotations

import struct
from typing import Final

DESCRIPTION: Final = 0x010E
"""Where a picture is described: the recipe."""
COMMENT: Final = 0x9286
"""Where other tools keep what a picture was made from."""
FOLDER: Final = 0x8769
"""Where the folder with the comment begins."""
UNICODE: Final = b"UNICODE\0"

_ORDERS: Final = {b"II\x2a\0": "<", b"MM\0\x2a": ">"}
_ENTRY_BYTES: Final = 12
_ASCII: Final = 2
_INSIDE: Final = 4
"""Bytes that stand in an entry itself."""


def description(exif: bytes) -> bytes | None:
    """Return the text that describes the picture of an EXIF block; None where none is readable."""
    order = _ORDERS.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    folder = struct.unpack(order + "I", exif[4:8])[0]
    count = int.from_bytes(exif[folder : folder + 2], "little" if order == "<" else "big")
    start = folder + 2
    for offset in range(start, min(start + count * _ENTRY_BYTES, len(exif) - 11), _ENTRY_BYTES):
        tag, kind, length, place = struct.unpack(order + "HHII", exif[offset : offset + 12])
        if (tag, kind) == (DESCRIPTION, _ASCII):
            begin = offset + 8 if length <= _INSIDE else place
            return exif[begin : begin + length].rstrip(b"\0") or None
    return None
