"""What of a picture file makes its pixels, and the bounds it must keep before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import FileRejected
from engine.request import MAX_PIXELS

MAX_SIDE = 32_768
MAX_PROFILE_BYTES = 1 << 20
MAX_EXIF_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A picture file cut down to what a decoder needs.

    Text, thumbnails, further frames and whatever follows the picture are left out of `data`.
    kind: PNG, JPEG or WEBP. exif: its TIFF block, or nothing.
    """

    kind: str
    width: int
    height: int
    data: bytes
    exif: bytes = b""


def check_size(width: int, height: int) -> None:
    """Raise `FileRejected` for a size in pixels that is empty or too large to decode."""
    if width < 1 or height < 1:
        raise FileRejected(f"The picture is empty: {width} x {height} pixels.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise FileRejected(
            f"The picture is too large: {width} x {height} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} million are read, and {MAX_SIDE} a side.",
            "Make it smaller first.",
        )


def most_bytes(width: int, height: int) -> int:
    """Return what no honest encoder exceeds: four channels of 16 bits, and some room."""
    return 9 * width * height + (1 << 20)


def damaged(kind: str, reason: str) -> FileRejected:
    """Return the error for a file that breaks the rules of its format."""
    return FileRejected(f"The {kind} file is damaged: {reason}.", "Get it again.")
