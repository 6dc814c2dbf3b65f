"""JPEG files, segment by segment (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from engine.images.container import (
    MAX_PROFILE_BYTES,
    Container,
    check_size,
    damaged,
    most_bytes,
)

START = b"\xff\xd8"
MAX_SEGMENTS = 4096
MAX_SCANS = 100
MAX_KEPT_BYTES = 2 * MAX_PROFILE_BYTES

_END, _SCAN, _APP0, _APP1, _APP2, _APP14 = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_EXIF, _PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"
# Application segments that say how colours are coded, by how they begin.
_COLOURS = {_APP0: b"JFIF\0", _APP2: _PROFILE, _APP14: b"Adobe"}
# In coded data FF is followed by 00, a restart mark or a filling FF; anything else ends the scan.
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def read_jpeg(stream: BinaryIO) -> Container:
    """Return what makes the pixels of a JPEG stream; raise `FileRejected`."""
    kept, exif, size, profile_bytes, kept_bytes = [START], b"", (0, 0), 0, 0
    for mark, body in _segments(stream):
        if mark in _SIZES:
            size = _size(body)
        elif mark == _APP1 and body.startswith(_EXIF):
            exif = body.removeprefix(_EXIF)
        elif mark == _APP2:
            profile_bytes += len(body)
            if profile_bytes > MAX_PROFILE_BYTES:
                # Without all its parts a profile is ignored: colours are sRGB.
                continue
        if _makes_pixels(mark, body):
            kept_bytes += len(body)
            if kept_bytes > MAX_KEPT_BYTES:
                raise damaged("JPEG", f"its tables have more than {MAX_KEPT_BYTES:,} bytes")
            kept.append(struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body)
    if size == (0, 0):
        raise damaged("JPEG", "it does not say its size")
    kept.append(_scans(stream.read(most_bytes(*size))))
    return Container(kind="JPEG", width=size[0], height=size[1], data=b"".join(kept), exif=exif)


def _segments(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield mark and body of each segment up to the first scan's header, that one included."""
    stream.seek(len(START))
    head = b""
    for _ in range(MAX_SEGMENTS):
        head += stream.read(4 - len(head))
        if head.startswith(b"\xff\xff"):
            # FF may be repeated before a mark.
            head = head[1:]
            continue
        if len(head) < 4:
            raise damaged("JPEG", "it is cut off before the picture")
        fill, mark, length = struct.unpack(">BBH", head)
        body = stream.read(max(length - 2, 0))
        if fill != 0xFF or mark < 0xC0 or len(body) != length - 2:
            raise damaged("JPEG", f"{head!r} stands where a segment should begin")
        yield mark, body
        if mark == _SCAN:
            return
        head = b""
    raise damaged("JPEG", f"it has more than {MAX_SEGMENTS} segments")


def _size(body: bytes) -> tuple[int, int]:
    if len(body) < 6:
        raise damaged("JPEG", "its size is cut off")
    height, width = struct.unpack(">HH", body[1:5])
    check_size(width, height)
    return width, height


def _makes_pixels(mark: int, body: bytes) -> bool:
    if mark in _COLOURS:
        return body.startswith(_COLOURS[mark])
    return mark in _TABLES or mark in _SIZES or mark == _SCAN


def _scans(data: bytes) -> bytes:
    """Return the coded data up to the end mark.

    Bounds the scans: each costs a pass over all pixels, however few bytes it has.
    """
    position, scans = 0, 1
    while found := _MARK.search(data, position):
        mark = data[found.end() - 1]
        if mark == _END:
            return data[: found.end()]
        scans += mark == _SCAN
        if scans > MAX_SCANS:
            raise damaged("JPEG", f"it has more than {MAX_SCANS} scans")
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    raise damaged("JPEG", "it is cut off")
