"""Pictures to files that carry their recipe: PNG and WEBP keep every pixel, JPEG does not."""

from __future__ import annotations

import io

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from engine.errors import BadRequest
from engine.images.container import MAX_EXIF_BYTES
from engine.images.exif import COMMENT, DESCRIPTION, FOLDER, UNICODE
from engine.images.metadata import PARAMETERS, RECIPE

COMPRESS_LEVEL = 4
JPEG_QUALITY = 95
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_SEGMENT_HEAD = 8
"""Bytes before the EXIF block in the segment of a JPEG that holds it."""


def encode(picture: Tensor, suffix: str, texts: dict[str, str]) -> bytes:
    """Return a picture as the bytes of a file of that kind, with the texts that fit into it.

    picture: [H, W, 3] uint8, sRGB. suffix: one of `SUFFIXES`. texts: see `encode_png`. Raise
    `BadRequest` for another suffix.
    """
    if suffix == ".png":
        return encode_png(picture, texts)
    image, file = _image(picture), io.BytesIO()
    exif = _exif(texts_that_fit(suffix, texts))
    if suffix == ".webp":
        image.save(file, "WEBP", lossless=True, method=2, exif=exif)
    elif suffix in SUFFIXES:
        image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", exif=exif)
    else:
        raise BadRequest(
            f"Pictures are not saved as {suffix!r:.20}.", f"Use {', '.join(SUFFIXES)}."
        )
    return file.getvalue()


def texts_that_fit(suffix: str, texts: dict[str, str]) -> dict[str, str]:
    """Return the texts that a file of that kind holds: in 64 kB the recipe comes first."""
    if suffix == ".png":
        return texts
    for kept in (texts, {name: text for name, text in texts.items() if name == RECIPE}):
        if len(_exif(kept)) <= MAX_EXIF_BYTES - _SEGMENT_HEAD:
            return kept
    return {}


def encode_png(picture: Tensor, texts: dict[str, str]) -> bytes:
    """Return a picture as PNG bytes with its text chunks.

    picture: [H, W, 3] uint8, sRGB. texts: valid Unicode by keyword, see
    `engine.images.metadata.write_text`.
    """
    image = _image(picture)
    notes = PngInfo()
    for keyword, text in texts.items():
        notes.add_text(keyword, text)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=notes, compress_level=COMPRESS_LEVEL)
    return file.getvalue()


def _image(picture: Tensor) -> Image.Image:
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture is [H, W, 3] uint8, not {tuple(picture.shape)} {picture.dtype}"
        )
    return Image.fromarray(picture.detach().cpu().numpy())


def _exif(texts: dict[str, str]) -> bytes:
    """Return an EXIF block with the recipe, and the words for other tools in UTF-16."""
    block = Image.Exif()
    if RECIPE in texts:
        block[DESCRIPTION] = texts[RECIPE]
    if PARAMETERS in texts:
        block.get_ifd(FOLDER)[COMMENT] = UNICODE + texts[PARAMETERS].encode("utf-16-be")
    return block.tobytes() if texts else b""
