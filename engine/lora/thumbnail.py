"""The picture that comes with an adapter, made small. Apart, for it needs Pillow."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.images.open import open_picture
from engine.lora.facts import PICTURES, picture_text
from engine.lora.file import LoraFile

THUMBNAIL_SIDE: Final = 256


def thumbnail(lora: LoraFile) -> bytes | None:
    """Return an adapter's picture as a JPEG of at most 256 pixels a side, None if it has none.

    It lies in the file or beside it; what is no right picture counts as none.
    """
    for source in _pictures(lora):
        try:
            picture = open_picture(source)
        except UserError:
            continue
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=85)
        return data.getvalue()
    return None


def _pictures(lora: LoraFile) -> Iterator[bytes | Path]:
    # What is no base64 is no picture either.
    with suppress(binascii.Error, ValueError):
        yield base64.b64decode(picture_text(lora), validate=True)
    yield from (lora.path.with_suffix(ending) for ending in PICTURES)
