"""Files that break the rules of their format are refused, and the sentence says which rule."""

from __future__ import annotations

import io
import random
import struct

import pytest
from PIL import Image

from engine.errors import FileRejected
from engine.images import container, jpeg, png, webp
from engine.images.open import open_picture
from tests.engine.images.pictures import (
    chunk,
    encoded,
    header,
    jpeg_of_size,
    jpeg_segment,
    riff,
    small_png,
    webp_canvas,
    webp_lossless,
)
from tests.engine.images.pictures import png as png_of

END = chunk(b"IEND")
SCAN = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0\xff\xd9"
KEY_FRAME = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 8, 8) + bytes(8)

BROKEN = {
    "no size first": (png_of(END), "does not begin with its size"),
    "size of another length": (png_of(chunk(b"IHDR", bytes(14))), "does not begin with its size"),
    "size damaged": (
        small_png().replace(b"IHDR\0\0\0\x08", b"IHDR\0\0\0\x09"),
        "checksum of its IHDR",
    ),
    "end missing": (small_png()[:-12], "cut off after"),
    "head of a part cut": (small_png()[:-7], "cut off after"),
    "part cut": (small_png()[:-2], r"cut off, \d+ of at least \d+ bytes"),
    "part with a strange name": (png_of(header(8, 8), chunk(b"ab1d")), "called b'ab1d'"),
    "too much data": (
        png_of(header(8, 8), *[chunk(b"IDAT", bytes(1 << 19))] * 3, END),
        "more data than 8 x 8 pixels",
    ),
    "no data": (png_of(header(8, 8), END), "PNG file is damaged"),
    "unknown depth": (png_of(header(8, 8, depth=3), chunk(b"IDAT"), END), "no decoder takes it"),
    "jpeg cut": (b"\xff\xd8\xff\xe0", "cut off before the picture"),
    "jpeg segment cut": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "where a segment should begin"),
    "jpeg segment of length 1": (b"\xff\xd8\xff\xe0\x00\x01", "where a segment should begin"),
    "jpeg without marks": (b"\xff\xd8 hello there", "where a segment should begin"),
    "jpeg size cut": (
        b"\xff\xd8" + jpeg_segment(0xC0, b"\x08\0\x08") + SCAN,
        "its size is cut off",
    ),
    "jpeg without size": (b"\xff\xd8" + SCAN, "does not say its size"),
    "jpeg end missing": (jpeg_of_size(8, 8)[:-2], "JPEG file is damaged: it is cut off"),
    "webp cut": (riff(webp_lossless(8, 8))[:-1], r"cut off, \d+ of \d+ bytes"),
    "webp part cut": (riff((b"VP8L", b"")).replace(b"VP8L\0", b"VP8L\xff"), "a part of it is cut"),
    "webp without picture": (riff(webp_canvas(8, 8)), "holds no picture"),
    "webp of nothing": (riff(), "holds no picture"),
    "webp head cut": (riff((b"VP8L", b"\x2f\0\0")), "its VP8L part is cut off"),
    "webp without start": (riff((b"VP8L", bytes(20))), "holds no picture"),
    "webp frame without start": (riff((b"VP8 ", bytes(20))), "holds no picture"),
    "webp frame of nothing": (riff((b"VP8 ", KEY_FRAME)), "WEBP file is damaged"),
    "webp canvas of another size": (riff(webp_canvas(9, 8), webp_lossless(8, 8)), r"\(9, 8\)"),
    "webp with too much data": (
        riff((b"VP8L", webp_lossless(8, 8)[1] + bytes(2 << 20))),
        "WEBP file is damaged",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(name):
    data, sentence = BROKEN[name]
    with pytest.raises(FileRejected, match=sentence):
        open_picture(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_anywhere_is_refused(kind):
    data = encoded(Image.effect_noise((24, 16), 50).convert("RGB"), kind)
    for length in range(len(data) - 1):
        with pytest.raises(FileRejected):
            open_picture(data[:length])


@pytest.mark.parametrize("profile", [b"", b"name", b"name\0", b"name\0\0", b"name\0\0not packed"])
def test_a_profile_that_cannot_be_unpacked_is_left_out(profile):
    assert open_picture(small_png(chunk(b"iCCP", profile))).size == (8, 8)


def test_the_copy_for_the_decoder_holds_what_makes_the_pixels_and_nothing_else():
    extra = [chunk(kind, b"secret") for kind in (b"tEXt", b"eXIf", b"tIME", b"acTL", b"abCd")]
    found = png.read_png(io.BytesIO(small_png(*extra) + b"secret"))
    assert b"secret" not in found.data
    assert found.data == small_png()
    plain = encoded(Image.new("RGB", (8, 8)), "JPEG")
    extra = b"".join(jpeg_segment(mark, b"secret") for mark in (0xE1, 0xE2, 0xED, 0xFE, 0xE0, 0xEE))
    found = jpeg.read_jpeg(io.BytesIO(plain[:2] + extra + plain[2:] + b"secret"))
    assert found.data == plain
    chunks = (
        webp_canvas(8, 8, 0x0C),
        webp_lossless(8, 8),
        (b"XMP ", b"secret"),
        (b"EXIF", b"turn"),
    )
    found = webp.read_webp(io.BytesIO(riff(*chunks)))
    assert found.data == riff(webp_canvas(8, 8), webp_lossless(8, 8))
    assert found.exif == b"turn"


def test_a_jpeg_may_have_a_hundred_scans():
    data = encoded(Image.effect_noise((24, 16), 50), "JPEG", progressive=True)
    scans, last = data.count(b"\xff\xda"), data[data.rfind(b"\xff\xda") : -2]
    most = data[:-2] + last * (jpeg.MAX_SCANS - scans)
    assert open_picture(most + b"\xff\xd9").size == (24, 16)
    with pytest.raises(FileRejected, match="more than 100 scans"):
        open_picture(most + last + b"\xff\xd9")


@pytest.mark.parametrize("mark", [0xC4, 0xC0, 0xDB, 0xE0, 0xEE])
def test_the_tables_of_a_jpeg_are_bounded(mark):
    start = {0xC0: b"\x08\0\x08\0\x08\x01\x01\x11\0", 0xE0: b"JFIF\0", 0xEE: b"Adobe"}.get(
        mark, b""
    )
    many = jpeg_segment(mark, start + bytes(65_000 - len(start))) * 33
    with pytest.raises(FileRejected, match="tables have more than 2,097,152 bytes"):
        jpeg.read_jpeg(io.BytesIO(b"\xff\xd8" + many + jpeg_of_size(8, 8)[2:]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_profile_above_a_megabyte_never_reaches_the_decoder(kind):
    read = {"PNG": png.read_png, "JPEG": jpeg.read_jpeg, "WEBP": webp.read_webp}[kind]
    for size in (1 << 19, 3 << 20):
        profile = random.Random(0).randbytes(size)
        data = encoded(Image.new("RGB", (8, 8)), kind, icc_profile=profile)
        copy = read(io.BytesIO(data)).data
        assert (size < len(copy)) == (size < container.MAX_PROFILE_BYTES)
        assert len(copy) < 1 << 20 or kind == "JPEG"


def test_sizes_up_to_the_limit_pass():
    container.check_size(8000, 4000)
    container.check_size(32_768, 976)
    for size in ((8000, 4001), (32_769, 1), (1, 32_769), (0, 1), (1, 0)):
        with pytest.raises(FileRejected, match=r"{} x {}".format(*size)):
            container.check_size(*size)


def test_a_checksum_is_checked():
    good = chunk(b"tEXt", b"abc")
    stream = io.BytesIO(small_png(good))
    found = next(part for part in png.chunks(stream) if part.kind == b"tEXt")
    assert found.data() == b"abc"
    assert found.begins_with(b"ab")
    assert not found.begins_with(b"abcd")
    assert found.raw() == good
    stream = io.BytesIO(small_png(good[:-1] + bytes([good[-1] ^ 1])))
    found = next(part for part in png.chunks(stream) if part.kind == b"tEXt")
    with pytest.raises(FileRejected, match="checksum of its tEXt"):
        found.data()


def test_a_disk_that_fails_while_a_picture_is_read_is_an_error(data_folder, monkeypatch):
    class Failing(io.BytesIO):
        def seek(self, *_place):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("engine.images.open.open_plain", lambda _path: Failing(small_png()))
    with pytest.raises(FileRejected, match="Input/output error"):
        open_picture(data_folder / "a.png")


def test_a_picture_with_two_sizes_is_refused(monkeypatch):
    monkeypatch.setattr(png, "_size", lambda _chunk: (9, 8))
    with pytest.raises(FileRejected, match=r"\(8, 8\) inside"):
        open_picture(small_png())
