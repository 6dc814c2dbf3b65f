"""The one door for pictures: nothing else opens an image file.

A file is recognised by its content, measured by its header, cut down to what makes its pixels
(`container.py`), and only then decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageCms, UnidentifiedImageError

from engine.errors import FileRejected
from engine.images import jpeg, png
from engine.images.container import Container, damaged
from engine.images.exif import orientation
from engine.images.jpeg import read_jpeg
from engine.images.png import read_png
from engine.images.webp import read_webp
from engine.storage import open_plain

# What Pillow's decoders raise at damaged data.
_DECODING = (OSError, SyntaxError, ValueError, IndexError, struct.error, zlib.error)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


def open_picture(source: Path | bytes, ground: str = "white") -> Image.Image:
    """Return a picture as upright RGB of 8 bits in sRGB, transparency laid on a ground.

    Takes PNG, JPEG and still WEBP up to 32 megapixels; of an animated PNG its still picture.
    ground: a colour as Pillow names it. Raise `NotFound`, or `FileRejected` with the reason and the
    sizes.
    """
    container = _container(source)
    try:
        picture = _decode(container)
    except UnidentifiedImageError as error:
        raise damaged(container.kind, "no decoder takes it") from error
    except _DECODING as error:
        raise damaged(container.kind, f"{error!s:.200}") from error
    turn = _TURNS.get(orientation(container.exif))
    plain = _on(ground, picture)
    return plain if turn is None else plain.transpose(turn)


def picture_size(source: Path | bytes) -> tuple[int, int]:
    """Return width and height in pixels of a picture held upright, by its header alone.

    Raise as `open_picture`, but for what only decoding shows.
    """
    container = _container(source)
    size = container.width, container.height
    return size[::-1] if orientation(container.exif) in _SIDEWAYS else size


def _container(source: Path | bytes) -> Container:
    with io.BytesIO(source) if isinstance(source, bytes) else open_plain(source) as stream:
        return _read_container(stream)


def _read_container(stream: BinaryIO) -> Container:
    try:
        head = stream.read(12)
        if head.startswith(png.SIGNATURE):
            return read_png(stream)
        if head.startswith(jpeg.START):
            return read_jpeg(stream)
        if head[:4] == b"RIFF" and head[8:] == b"WEBP":
            return read_webp(stream)
    except OSError as error:
        raise FileRejected(f"The picture cannot be read: {error.strerror}.") from error
    raise FileRejected(
        f"The file is no picture: it begins with {head!r}.", "Give a PNG, JPEG or WEBP file."
    )


def _decode(container: Container) -> Image.Image:
    picture = Image.open(io.BytesIO(container.data), formats=[container.kind])
    if picture.size != (container.width, container.height):
        raise ValueError(
            f"its size is {picture.size} inside, {container.width, container.height} outside"
        )
    picture.load()
    return picture


def _on(ground: str, picture: Image.Image) -> Image.Image:
    """Return RGB of 8 bits in sRGB, without transparency and without any notes of the file."""
    profile = picture.info.get("icc_profile", b"")
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit gray at 255 instead of scaling it.
        picture = picture.point(lambda value: value / 256).convert("L")
    if not picture.has_transparency_data:
        plain = _to_srgb(picture, profile)
    else:
        layer = picture.convert("RGBA")
        plain = Image.new("RGB", picture.size, ground)
        plain.paste(_to_srgb(layer.convert("RGB"), profile), mask=layer.getchannel("A"))
    plain.info.clear()
    return plain


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return RGB in sRGB; a profile that is damaged or of another kind of picture is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Nearly all profiles say sRGB; passing through the tables would only add rounding.
        if "sRGB" not in ImageCms.getProfileDescription(source):
            target = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
            return turned or picture.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return picture.convert("RGB")
