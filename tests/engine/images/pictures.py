"""Picture files built by hand, honest and hostile, for the tests."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable

from PIL import Image, ImageCms

PNG_START = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A PNG chunk with the right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, *, depth: int = 8, colours: int = 2) -> bytes:
    """IHDR; colours: 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return PNG_START + b"".join(chunks)


def small_png(*extra: bytes, after: bytes = b"") -> bytes:
    """An 8 x 8 picture of gray 128 with chunks before and after its data."""
    data = chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 24) * 8))
    return png(header(8, 8), *extra, data, after, chunk(b"IEND"))


def text_chunk(kind: bytes, keyword: bytes, text: bytes) -> bytes:
    """A tEXt, zTXt or iTXt chunk (`iTXz`: a packed iTXt)."""
    bodies = {
        b"tEXt": lambda: b"\0" + text,
        b"zTXt": lambda: b"\0\0" + zlib.compress(text),
        b"iTXt": lambda: b"\0\0\0\0\0" + text,
        b"iTXz": lambda: b"\0\1\0en\0\0" + zlib.compress(text),
    }
    return (
        chunk(kind.replace(b"z", b"t"), keyword + bodies[kind]())
        if kind == b"iTXz"
        else chunk(kind, keyword + bodies[kind]())
    )


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def oriented(orientation: int) -> bytes:
    """An EXIF block that says how the picture is turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def swapped_profile() -> bytes:
    """An RGB profile whose red is sRGB's green, and its green sRGB's red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"-XYZ"), (b"gXYZ", b"rXYZ"), (b"-XYZ", b"gXYZ")):
        profile = profile.replace(old, new)
    # The description is a text of wide characters.
    return profile.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def jpeg_segment(mark: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG that says a size and holds next to nothing."""
    size = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    scan = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0")
    return b"\xff\xd8" + jpeg_segment(0xC0, size) + scan + b"\0\xff\xd9"


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WEBP file of chunks."""
    body = b"WEBP" + b"".join(_riff_chunk(kind, data) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def webp_lossless(width: int, height: int) -> tuple[bytes, bytes]:
    """A VP8L chunk that says a size and holds next to nothing."""
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(8)


def webp_chunks(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The chunks of an honest WEBP file."""
    offset = 12
    while offset < len(data):
        kind, length = struct.unpack("<4sI", data[offset : offset + 8])
        yield kind, data[offset + 8 : offset + 8 + length]
        offset += 8 + length + length % 2
