"""How large a picture is; apart from the door for pictures, for that needs Pillow."""

from __future__ import annotations

from pathlib import Path


def picture_size(source: Path | bytes) -> tuple[int, int]:
    """Return width and height in pixels of a picture held upright, by its header alone.

    Raise `NotFound`, or `FileRejected` with the reason.
    """
    # Pillow is not there yet when the installer imports the engine.
    from engine.images.open import picture_size as by_header

    return by_header(source)
