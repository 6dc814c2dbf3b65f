"""Pictures of every honest kind open the right way up and in the right colours."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms, ImageOps

from engine.errors import FileRejected, NotFound
from engine.images.open import open_picture
from tests.engine.images.pictures import (
    chunk,
    encoded,
    header,
    jpeg_segment,
    oriented,
    png,
    riff,
    small_png,
    swapped_profile,
    text_chunk,
    webp_chunks,
)

KINDS = ("PNG", "JPEG", "WEBP")
EXACT = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "JPEG": {"quality": 100, "subsampling": 0},
}


@pytest.fixture
def picture() -> Image.Image:
    """Smooth colours, each corner of its own, 48 x 32."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata([(250, 20, 30), (20, 240, 30), (20, 30, 230), (240, 240, 10)])
    return corners.resize((48, 32), Image.Resampling.BICUBIC)


def _difference(a: Image.Image, b: Image.Image) -> int:
    assert a.size == b.size
    pairs = zip(a.convert("RGB").tobytes(), b.convert("RGB").tobytes(), strict=True)
    return max(abs(one - other) for one, other in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_opens_as_it_is(kind, picture, data_folder):
    data = encoded(picture, kind, **EXACT[kind])
    (data_folder / "any.name").write_bytes(data)
    for source in (data, data_folder / "any.name"):
        opened = open_picture(source)
        assert opened.mode == "RGB"
        assert opened.info == {}
        assert _difference(opened, picture) <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_put_upright(kind, orientation, picture):
    data = encoded(picture, kind, exif=oriented(orientation), **EXACT[kind])
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    opened = open_picture(data)
    assert opened.size == ((48, 32) if orientation < 5 else (32, 48))
    assert _difference(opened, expected) == 0


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"MM\0\x2a",
        bytes(64),
        b"II\x2a\0\xff\xff\xff\xff",
        b"MM\0\x2a\0\0\0\x08\xff\xff",
        b"II\x2a\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0",
        b"II\x2a\0\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0\6\0\0\0",
    ],
)
def test_an_orientation_that_cannot_be_read_turns_nothing(exif):
    data = png(header(2, 1), chunk(b"eXIf", exif), _packed(b"\0\1\2\3\4\5\6"), END)
    opened = open_picture(data)
    assert opened.size == (2, 1)
    assert opened.tobytes() == b"\1\2\3\4\5\6"


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_is_read_in_either_byte_order(order):
    start = b"II\x2a\0" if order == "<" else b"MM\0\x2a"
    entries = struct.pack(order + "IHHHIHHHHIHH", 8, 2, 0x0110, 3, 1, 7, 0, 0x0112, 3, 1, 6, 0)
    data = png(header(2, 1), chunk(b"eXIf", start + entries), _packed(b"\0" + b"\x80" * 6), END)
    assert open_picture(data).size == (1, 2)


def _packed(rows: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(rows))


END = chunk(b"IEND")
HALF, FULL = b"\x80\x7f", b"\xff\xff"
CASES = {
    "gray 1": (header(8, 1, depth=1, colours=0), b"", b"\x7f", [(0, 0, 0), (255, 255, 255)]),
    "gray 4": (header(2, 1, depth=4, colours=0), b"", b"\x1b", [(17, 17, 17), (187, 187, 187)]),
    "gray 8": (header(2, 1, colours=0), b"", b"\x11\xbb", [(17, 17, 17), (187, 187, 187)]),
    "gray 16": (header(2, 1, depth=16, colours=0), b"", HALF + FULL, [(128,) * 3, (255,) * 3]),
    "gray 16, one level clear": (
        header(2, 1, depth=16, colours=0), chunk(b"tRNS", FULL), HALF + FULL,
        [(128,) * 3, (255,) * 3],
    ),
    "gray 8, one level clear": (
        header(2, 1, colours=0), chunk(b"tRNS", b"\0\x11"), b"\x11\xbb", [(255,) * 3, (187,) * 3],
    ),
    "gray and alpha": (header(2, 1, colours=4), b"", b"\x00\x80\x00\xff", [(127,) * 3, (0,) * 3]),
    "gray and alpha 16": (
        header(2, 1, depth=16, colours=4), b"", b"\0\0\0\0" + HALF + FULL, [(255,) * 3, (128,) * 3],
    ),
    "RGB, one colour clear": (
        header(2, 1), chunk(b"tRNS", b"\0\1\0\2\0\3"), b"\1\2\3\3\2\1", [(255,) * 3, (3, 2, 1)],
    ),
    "RGB 16": (header(2, 1, depth=16), b"", (b"\x01\xff" * 3) + FULL * 3, [(1,) * 3, (255,) * 3]),
    "RGB and alpha": (
        header(2, 1, colours=6), b"", b"\xff\0\0\x80\1\2\3\xff", [(255, 127, 127), (1, 2, 3)],
    ),
    "palette": (
        header(2, 1, colours=3), chunk(b"PLTE", b"\1\2\3\4\5\6"), b"\1\0", [(4, 5, 6), (1, 2, 3)],
    ),
    "palette and alpha": (
        header(2, 1, colours=3), chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0\x80"), b"\1\0",
        [(127,) * 3, (255,) * 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_png_pixel_has_the_right_colour(name):
    size, extra, row, expected = CASES[name]
    opened = open_picture(png(size, extra, _packed(b"\0" + row), END))
    assert [opened.getpixel((x, 0)) for x in range(2)] == expected


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_gray_and_print_jpegs_have_the_right_colours(mode, progressive, picture):
    data = encoded(picture.convert(mode), "JPEG", progressive=progressive, **EXACT["JPEG"])
    assert _difference(open_picture(data), picture.convert(mode)) <= 6


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_a_transparent_webp_is_laid_on_white(alpha):
    picture = Image.new("RGBA", (16, 16), (200, 0, 0, alpha))
    opened = open_picture(encoded(picture, "WEBP", **EXACT["WEBP"]))
    expected = Image.new("RGB", (16, 16), "white")
    expected.paste(picture, mask=picture)
    assert _difference(opened, expected) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_taken_through_their_profile(kind):
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    opened = open_picture(encoded(red, kind, icc_profile=swapped_profile(), **EXACT[kind]))
    assert _difference(opened, Image.new("RGB", (16, 16), (0, 255, 0))) <= 3


def test_a_profile_that_says_srgb_changes_no_byte(picture):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert _difference(open_picture(encoded(picture, "PNG", icc_profile=profile)), picture) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "profile", [b"x", bytes(200), b"acsp" * 90_000, b"acsp" * 500_000, "LAB"], ids=range(5)
)
def test_a_useless_profile_does_not_cost_the_picture(kind, profile, picture):
    if profile == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = encoded(picture, kind, icc_profile=profile, **EXACT[kind])
    assert _difference(open_picture(data), picture) <= (3 if kind == "JPEG" else 0)


def test_notes_thumbnails_and_whatever_follows_are_left_out(picture):
    note = text_chunk(b"tEXt", b"Comment", b"<script>")
    assert open_picture(small_png(note) + b"PK\x03\x04<html>" * 1000).info == {}
    data = encoded(picture, "JPEG", comment=b"x" * 1000, **EXACT["JPEG"])
    thumbnail = b"Exif\0\0" + encoded(picture, "JPEG")
    data = data[:2] + jpeg_segment(0xE1, thumbnail) + data[2:] + b"\xff\xda" * 5000
    assert _difference(open_picture(data), picture) <= 3


def test_fill_bytes_between_jpeg_segments_are_passed_over(picture):
    data = encoded(picture, "JPEG", **EXACT["JPEG"])
    assert _difference(open_picture(data[:2] + b"\xff\xff" + data[2:]), picture) <= 3


def test_of_an_animated_png_the_still_picture_is_taken(picture):
    frames = [Image.new("RGB", picture.size, colour) for colour in ("red", "blue")]
    data = encoded(picture, "PNG", save_all=True, append_images=frames, default_image=True)
    assert _difference(open_picture(data), picture) == 0


def test_an_animated_webp_is_refused(picture):
    other = Image.new("RGB", picture.size, "red")
    data = encoded(picture, "WEBP", save_all=True, append_images=[other])
    with pytest.raises(FileRejected, match="animated"):
        open_picture(data)


def test_a_webp_with_unknown_parts_opens(picture):
    data = encoded(picture, "WEBP", exif=oriented(1), **EXACT["WEBP"])
    strange = riff(*webp_chunks(data), (b"ABCD", b"123"), (b"XMP ", b"<x/>"))
    assert _difference(open_picture(strange), picture) == 0


def test_a_missing_file_is_not_found(data_folder):
    with pytest.raises(NotFound):
        open_picture(data_folder / "gone.png")


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_narrow_pictures_open(kind, size):
    assert open_picture(encoded(Image.new("RGB", size), kind)).size == size
