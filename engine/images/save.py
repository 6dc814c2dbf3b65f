"""Pictures to PNG files that carry their recipe."""

from __future__ import annotations

import io

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

COMPRESS_LEVEL = 4


def encode_png(picture: Tensor, texts: dict[str, str]) -> bytes:
    """Return a picture as PNG bytes with its text chunks.

    picture: [H, W, 3] uint8, sRGB. texts: valid Unicode by keyword, see
    `engine.images.metadata.write_text`.
    """
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture is [H, W, 3] uint8, not {tuple(picture.shape)} {picture.dtype}"
        )
    notes = PngInfo()
    for keyword, text in texts.items():
        notes.add_text(keyword, text)
    file = io.BytesIO()
    image = Image.fromarray(picture.detach().cpu().numpy())
    image.save(file, "PNG", pnginfo=notes, compress_level=COMPRESS_LEVEL)
    return file.getvalue()
