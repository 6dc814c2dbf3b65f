"""PNG files, chunk by chunk (PNG specification, third edition)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from engine.images.container import (
    MAX_EXIF_BYTES,
    MAX_PROFILE_BYTES,
    Container,
    check_size,
    damaged,
    most_bytes,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 65_536

_FRAME_BYTES = 12
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of `length` bytes that begins at `offset` of its file; not yet read."""

    stream: BinaryIO
    kind: bytes
    offset: int
    length: int

    def begins_with(self, prefix: bytes) -> bool:
        """Say whether the data begin so."""
        self.stream.seek(self.offset + 8)
        return self.stream.read(min(len(prefix), self.length)) == prefix

    def raw(self) -> bytes:
        """Return the chunk as stored: length, kind, data and checksum."""
        self.stream.seek(self.offset)
        return self.stream.read(_FRAME_BYTES + self.length)

    def data(self) -> bytes:
        """Return the data; raise `FileRejected` if its checksum does not match."""
        raw = self.raw()
        if zlib.crc32(raw[4:-4]).to_bytes(4, "big") != raw[-4:]:
            raise damaged("PNG", f"the checksum of its {self.kind.decode()} is wrong")
        return raw[8:-4]


def chunks(stream: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of a PNG stream up to IEND; raise `FileRejected` where they break off."""
    size = stream.seek(0, io.SEEK_END)
    offset = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        stream.seek(offset)
        head = stream.read(8)
        if len(head) < 8:
            raise damaged("PNG", f"it is cut off after {size} bytes")
        length, kind = struct.unpack(">I4s", head)
        if not (kind.isalpha() and kind.isascii()):
            raise damaged("PNG", f"a part of it is called {kind!r}")
        end = offset + _FRAME_BYTES + length
        if end > size:
            raise damaged("PNG", f"it is cut off, {size} of at least {end} bytes")
        yield Chunk(stream, kind, offset, length)
        if kind == b"IEND":
            return
        offset = end
    raise damaged("PNG", f"it has more than {MAX_CHUNKS} parts")


def read_png(stream: BinaryIO) -> Container:
    """Return what makes the pixels of a PNG stream; raise `FileRejected`."""
    kept, exif, width, height, room = [SIGNATURE], b"", 0, 0, 0
    for chunk in chunks(stream):
        if not width:
            width, height = _size(chunk)
            room = most_bytes(width, height)
        if chunk.kind == b"eXIf" and chunk.length <= MAX_EXIF_BYTES:
            exif = chunk.data()
        if not _makes_pixels(chunk):
            continue
        room -= chunk.length
        if room < 0:
            raise damaged("PNG", f"it has more data than {width} x {height} pixels can need")
        kept.append(chunk.raw())
    return Container(kind="PNG", width=width, height=height, data=b"".join(kept), exif=exif)


def _size(chunk: Chunk) -> tuple[int, int]:
    if chunk.kind != b"IHDR" or chunk.length != 13:
        raise damaged("PNG", "it does not begin with its size")
    width, height = struct.unpack(">II", chunk.data()[:8])
    check_size(width, height)
    return width, height


def _makes_pixels(chunk: Chunk) -> bool:
    return chunk.kind in _KEPT or (chunk.kind == b"iCCP" and _is_small_profile(chunk))


def _is_small_profile(chunk: Chunk) -> bool:
    """Say whether a colour profile unpacks within bounds; without one, colours are sRGB."""
    if chunk.length > MAX_PROFILE_BYTES:
        return False
    # A name, a zero, the method of packing, and the packed profile.
    packed = chunk.data().partition(b"\0")[2][1:]
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return unpacker.eof
