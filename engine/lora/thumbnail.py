"""The picture that comes with an adapter, made small. Apart, for it needs Pillow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.errors import UserError
from engine.images.thumbnails import small_jpeg
from engine.lora.facts import PICTURES, picture_text
from engine.lora.file import LoraFile


def thumbnail(lora: LoraFile) -> bytes | None:
    """Return an adapter's picture as a JPEG of at most 256 pixels a side, None if it has none.

    It lies in the file or beside it; what is no right picture counts as none.
    """
    for source in _pictures(lora):
        with suppress(UserError):
            return small_jpeg(source)
    return None


def _pictures(lora: LoraFile) -> Iterator[bytes | Path]:
    # What is no base64 is no picture either.
    with suppress(binascii.Error, ValueError):
        yield base64.b64decode(picture_text(lora), validate=True)
    yield from (lora.path.with_suffix(ending) for ending in PICTURES)
