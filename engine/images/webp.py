"""WEBP files, chunk by chunk (RFC 9649)."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from engine.errors import FileRejected
from engine.images.container import (
    MAX_EXIF_BYTES,
    MAX_PROFILE_BYTES,
    Container,
    check_size,
    damaged,
    most_bytes,
)

MAX_CHUNKS = 1024

_HEAD_BYTES = 10
_ANIMATED, _ALPHA, _PROFILE = 0x02, 0x10, 0x20
_VP8_START, _VP8L_START = b"\x9d\x01\x2a", b"\x2f"
_SIDE = 0x3FFF

Places = dict[bytes, tuple[int, int]]


def read_webp(stream: BinaryIO) -> Container:
    """Return what makes the pixels of a still WEBP stream; raise `FileRejected`."""
    places = _places(stream)
    kind = b"VP8L" if b"VP8L" in places else b"VP8 "
    extended = _head(stream, places, b"VP8X")
    if extended and extended[0] & _ANIMATED:
        raise FileRejected("The WEBP file is animated.", "Save one picture of it.")
    width, height = _size(kind, _head(stream, places, kind))
    check_size(width, height)
    most = most_bytes(width, height)
    parts = {kind: _whole(stream, places, kind, most)}
    if extended:
        if _canvas(extended) != (width, height):
            raise damaged("WEBP", f"its picture has not the size {_canvas(extended)} of the whole")
        profile = _whole(stream, places, b"ICCP", MAX_PROFILE_BYTES)
        flags = (extended[0] & _ALPHA) | (_PROFILE if profile else 0)
        first = {b"VP8X": bytes([flags]) + extended[1:], b"ICCP": profile}
        parts = {**first, b"ALPH": _whole(stream, places, b"ALPH", most), **parts}
    exif = _whole(stream, places, b"EXIF", MAX_EXIF_BYTES).removeprefix(b"Exif\0\0")
    return Container(kind="WEBP", width=width, height=height, data=_join(parts), exif=exif)


def _places(stream: BinaryIO) -> Places:
    """Return offset and length of the first chunk of each kind."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(4)
    end = struct.unpack("<I", stream.read(4))[0] + 8
    if end > size:
        raise damaged("WEBP", f"it is cut off, {size} of {end} bytes")
    places: Places = {}
    offset = 12
    for _ in range(MAX_CHUNKS):
        if offset + 8 > end:
            return places
        stream.seek(offset)
        kind, length = struct.unpack("<4sI", stream.read(8))
        if offset + 8 + length > end:
            raise damaged("WEBP", "a part of it is cut off")
        places.setdefault(kind, (offset + 8, length))
        offset += 8 + length + length % 2
    raise FileRejected(f"The WEBP file has more than {MAX_CHUNKS} parts.")


def _head(stream: BinaryIO, places: Places, kind: bytes) -> bytes:
    """Return the first bytes of a chunk, or nothing where there is no such chunk."""
    if kind not in places:
        return b""
    offset, length = places[kind]
    if length < _HEAD_BYTES:
        raise damaged("WEBP", f"its {kind.decode()} part is cut off")
    stream.seek(offset)
    return stream.read(_HEAD_BYTES)


def _whole(stream: BinaryIO, places: Places, kind: bytes, limit: int) -> bytes:
    """Return a chunk, or nothing where there is none of at most `limit` bytes."""
    offset, length = places.get(kind, (0, 0))
    if length > limit:
        return b""
    stream.seek(offset)
    return stream.read(length)


def _size(kind: bytes, head: bytes) -> tuple[int, int]:
    if kind == b"VP8 " and head[3:6] == _VP8_START:
        width, height = struct.unpack("<HH", head[6:10])
        return width & _SIDE, height & _SIDE
    if kind == b"VP8L" and head[:1] == _VP8L_START:
        sides = struct.unpack("<I", head[1:5])[0]
        return (sides & _SIDE) + 1, (sides >> 14 & _SIDE) + 1
    raise damaged("WEBP", "it holds no picture")


def _canvas(extended: bytes) -> tuple[int, int]:
    width, height = extended[4:7], extended[7:10]
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1


def _join(parts: dict[bytes, bytes]) -> bytes:
    chunks = [
        kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for kind, body in parts.items()
        if body
    ]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
