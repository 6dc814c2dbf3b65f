"""What the painter in the browser may ask of the server: to keep a picture, and to keep masks.

Both answer with JSON instead of raising: the browser shows the sentence beside the canvas.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from engine import (
    INPUT_PREFIX,
    MAX_REGIONS,
    BadRequest,
    FileRejected,
    NotFound,
    StudioError,
    find_input,
    picture_size,
)
from ui import painter_strings as strings
from ui.context import PageContext
from ui.uploads import uploaded

Answer = dict[str, Any]

MAX_MASK_CHARACTERS: Final = 12 << 20
"""Of one mask as base64; one of 32 megapixels of noise in 256 greys would have more."""
KNOWN_SIZES: Final = 64
_DATA_URL = re.compile(r"data:image/png;base64,([A-Za-z0-9+/]+={0,2})")


class Sizes:
    """Remembers the sizes of kept pictures, so that a mask need not wait for one to be decoded."""

    def __init__(self, page: PageContext) -> None:
        self._page = page
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> tuple[int, int]:
        """Return width and height of a kept picture, upright; raise `NotFound`, `FileRejected`."""
        path = find_input(name, self._page.engine.settings.data_dir)
        with self._lock:
            size = self._known.get(name)
        return size or self.remember(name, picture_size(path))

    def remember(self, name: str, size: tuple[int, int]) -> tuple[int, int]:
        """Remember the size of a picture, and return it; the oldest is forgotten."""
        with self._lock:
            self._known[name] = size
            while len(self._known) > KNOWN_SIZES:
                self._known.popitem(last=False)
        return size


def painter_doors(page: PageContext) -> list[Callable[..., Answer]]:
    """Return the functions that the browser calls by their names."""
    sizes = Sizes(page)

    def keep_picture(sent: object) -> Answer:
        """Keep an uploaded picture: {"path"} -> {"name", "width", "height"} or {"error"}."""
        try:
            path = uploaded(sent)
            size = picture_size(path)
            name = page.engine.keep_input(path)
            # Its copy in the cache belongs to nobody else.
            with suppress(OSError):
                path.unlink()
        except StudioError as error:
            return {"error": str(error)}
        width, height = sizes.remember(name, size)
        return {"name": name, "width": width, "height": height}

    def keep_masks(sent: object) -> Answer:
        """Keep masks of a kept picture: {"picture": name, "masks": [data URL]} -> {"masks": [name]}
        or {"error"}, or {"missing"} where the picture is gone."""
        try:
            name, masks = _read_masks(sent)
            try:
                size = sizes.of(name)
            except NotFound:
                return {"missing": True}
            return {"masks": [page.engine.keep_input(_checked(mask, size)) for mask in masks]}
        except StudioError as error:
            return {"error": str(error)}

    return [keep_picture, keep_masks]


def _read_masks(sent: object) -> tuple[str, list[bytes]]:
    values = sent if isinstance(sent, dict) else {}
    name, masks = values.get("picture"), values.get("masks")
    if not isinstance(name, str) or not name.startswith(INPUT_PREFIX):
        raise BadRequest(strings.BAD_MASK, strings.BAD_MASK_ACTION)
    if not isinstance(masks, list) or len(masks) > 1 + MAX_REGIONS:
        raise BadRequest(strings.BAD_MASK, strings.BAD_MASK_ACTION)
    return name, [_decoded(mask) for mask in masks]


def _decoded(mask: object) -> bytes:
    short = isinstance(mask, str) and len(mask) <= MAX_MASK_CHARACTERS
    found = _DATA_URL.fullmatch(mask) if isinstance(mask, str) and short else None
    if found is None:
        raise BadRequest(strings.BAD_MASK, strings.BAD_MASK_ACTION)
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error as error:
        raise BadRequest(strings.BAD_MASK, strings.BAD_MASK_ACTION) from error


def _checked(mask: bytes, size: tuple[int, int]) -> bytes:
    """Return a mask that is a picture of the right size; raise `FileRejected`."""
    found = picture_size(mask)
    if found != size:
        raise FileRejected(strings.mask_size(found, size))
    return mask
