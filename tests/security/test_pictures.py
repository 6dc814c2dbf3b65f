"""Pictures made to harm: bombs, other formats under a picture's name, and damage of every kind."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from engine.errors import FileRejected
from engine.images.open import open_picture
from tests.engine.images.pictures import (
    PNG_START,
    chunk,
    encoded,
    header,
    jpeg_of_size,
    jpeg_segment,
    oriented,
    png,
    riff,
    small_png,
    webp_canvas,
    webp_lossless,
)

ROOT = Path(__file__).parents[2]
MOST_SECONDS, MOST_MEGABYTES = 0.5, 64

# Opens each file it is told, in one process, and says what that took. VmHWM is the most memory that
# the process ever held.
MEASURE = """
import json, sys, time
from pathlib import Path
from engine.errors import FileRejected
from engine.images.open import open_picture
from tests.engine.images.pictures import small_png
open_picture(small_png())
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
found = {}
for path in map(Path, sys.argv[1:]):
    before, started = peak(), time.process_time()
    try:
        answer = str(open_picture(path).size)
    except FileRejected as error:
        answer = error.message
    seconds = time.process_time() - started
    found[path.name] = (answer, seconds, peak() - before)
sys.stdout.write(json.dumps(found))
"""


def _squeezed(size: int) -> bytes:
    """Zeros, packed a thousandfold."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def _pixel_bombs(packed: bytes) -> dict[str, bytes]:
    sides = {"1 bit": (30_000, 1), "gray": (30_000, 8), "deep": (30_000, 16)}
    grays = {
        f"png {name}": png(header(side, side, depth=depth, colours=0), chunk(b"IDAT", b""))
        for name, (side, depth) in sides.items()
    }
    return {
        **grays,
        "png colours": png(header(13_000, 13_000), chunk(b"IDAT", packed)),
        "png just above": png(header(8001, 4000), chunk(b"IDAT", b"")),
        "png wide": png(header(65_535, 1), chunk(b"IDAT", b"")),
        "png tall": png(header(1, 65_535), chunk(b"IDAT", b"")),
        "png widest": png(header(2**32 - 1, 2**32 - 1), chunk(b"IDAT", b"")),
        "png empty": png(header(0, 10), chunk(b"IDAT", b"")),
        "jpeg": jpeg_of_size(65_500, 65_500),
        "jpeg wide": jpeg_of_size(65_500, 1),
        "jpeg empty": jpeg_of_size(8, 0),
        "webp": riff(webp_lossless(16_384, 16_384)),
        "webp canvas": riff(webp_canvas(16_384, 16_384), webp_lossless(16_384, 16_384)),
        "webp two sizes": riff(webp_canvas(16_384, 16_384), webp_lossless(8, 8)),
        "webp huge canvas": riff(webp_canvas(1 << 24, 1 << 24), webp_lossless(8, 8)),
    }


def _note_bombs(packed: bytes) -> dict[str, bytes]:
    scan = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0"
    comments = jpeg_segment(0xFE, bytes(60_000)) * 1000
    return {
        "zTXt": small_png(chunk(b"zTXt", b"recipe\0\0" + packed)),
        "iTXt": small_png(chunk(b"iTXt", b"recipe\0\1\0\0\0" + packed)),
        "iCCP": small_png(chunk(b"iCCP", b"a\0\0" + packed)),
        "chunks": small_png(chunk(b"tEXt", b"a\0b") * 100_000),
        "IDAT of nothing": png(header(8, 8), chunk(b"IDAT") * 100_000, chunk(b"IEND")),
        "frames": small_png(chunk(b"acTL", bytes(8)), after=chunk(b"fdAT", bytes(99)) * 10_000),
        "IDAT": png(header(8, 8), chunk(b"IDAT", packed), chunk(b"IEND")),
        "jpeg scans": jpeg_of_size(5000, 5000)[:-2] + scan * 20_000 + b"\xff\xd9",
        "jpeg comments": b"\xff\xd8" + comments + jpeg_of_size(8, 8)[2:],
        "jpeg segments": b"\xff\xd8" + jpeg_segment(0xFE, b"") * 100_000,
        "jpeg fill": b"\xff\xd8" + b"\xff" * 10_000_000,
        "jpeg end missing": jpeg_of_size(5000, 5000)[:-2] + b"\xff\x00" * 20_000_000,
        "webp chunks": riff(*[(b"ABCD", b"")] * 100_000, webp_lossless(8, 8)),
        "webp frames": riff(webp_canvas(9, 9, 2), *[(b"ANMF", bytes(30))] * 10_000),
    }


def _holes(folder: Path) -> None:
    """Write files of half a gigabyte that take no room on the disk."""
    size = 512 << 20
    data = chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 24) * 8))
    for kind in (b"tEXt", b"eXIf", b"iCCP", b"IDAT"):
        with (folder / f"hole {kind.decode()}").open("wb") as stream:
            stream.write(png(header(8, 8)) + struct.pack(">I4s", size, kind))
            stream.seek(size + 4, os.SEEK_CUR)
            stream.write(data + chunk(b"IEND"))
    with (folder / "hole webp EXIF").open("wb") as stream:
        kind, picture = webp_lossless(8, 8)
        head = riff((kind, picture))[8:] + b"EXIF" + struct.pack("<I", size)
        stream.write(b"RIFF" + struct.pack("<I", len(head) + size) + head)
        stream.truncate(len(head) + 8 + size)
    with (folder / "hole after").open("wb") as stream:
        stream.write(small_png())
        stream.truncate(size)


# What lies beside the pixels is passed over; everything else here is refused.
HARMLESS = {
    "zTXt",
    "iTXt",
    "iCCP",
    "IDAT",
    "frames",
    "hole tEXt",
    "hole eXIf",
    "hole iCCP",
    "hole after",
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
def test_a_bomb_costs_half_a_second_and_64_megabytes_at_most(tmp_path):
    packed = _squeezed(256 << 20)
    bombs = {**_pixel_bombs(packed), **_note_bombs(packed)}
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    _holes(tmp_path)
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert len(found) == len(paths) >= 35
    costly = {name: cost for name, cost in found.items() if _too_much(*cost[1:])}
    assert costly == {}
    opened = {name for name, (answer, *_) in found.items() if answer.startswith("(")}
    assert opened <= HARMLESS
    for name in ("png colours", "png just above", "jpeg", "webp"):
        assert "too large" in found[name][0]
    assert "13000 x 13000" in found["png colours"][0]


def _too_much(seconds: float, megabytes: float) -> bool:
    return seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES


STRANGERS = {
    "psd": b"8BPS\0\1" + bytes(30),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "pdf": b"%PDF-1.7\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "avif": b"\0\0\0\x20ftypavif" + bytes(40),
    "heic": b"\0\0\0\x18ftypheic" + bytes(40),
    "jxl": b"\xff\x0a" + bytes(40),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "j2k": b"\xff\x4f\xff\x51" + bytes(40),
    "exr": b"\x76\x2f\x31\x01" + bytes(40),
    "hdr": b"#?RADIANCE\n",
    "qoi": b"qoif\0\0\0\x08\0\0\0\x08\3\0",
    "zip": b"PK\x03\x04" + bytes(40),
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "pickle": b"\x80\x04\x95" + bytes(40),
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "dds": b"DDS \x7c\0\0\0" + bytes(200),
    "mng": b"\x8aMNG\r\n\x1a\n" + bytes(40),
    "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
    "avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(40),
    "empty": b"",
    "one byte": b"\x89",
    "zeros": bytes(1000),
    "png signature alone": PNG_START,
    "jpeg signature alone": b"\xff\xd8\xff",
    "webp signature alone": b"RIFF\4\0\0\0WEBP",
}
OTHERS = (
    "BMP",
    "GIF",
    "ICO",
    "ICNS",
    "PCX",
    "PPM",
    "SGI",
    "TGA",
    "TIFF",
    "XBM",
    "IM",
    "MSP",
    "SPIDER",
)


@pytest.mark.parametrize("name", [*STRANGERS, *OTHERS])
def test_other_formats_are_refused_by_content_and_their_decoders_never_run(
    name, data_folder, monkeypatch
):
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(name, "RGB")
    image = Image.new(mode, (64, 64))
    data = STRANGERS.get(name) or (encoded(image, name) if name in OTHERS else b"")
    path = data_folder / "picture.png"
    path.write_bytes(data)
    _forbid_all_but(monkeypatch, "PNG", "JPEG", "WEBP")
    with pytest.raises(FileRejected):
        open_picture(path)


def _forbid_all_but(monkeypatch, *kinds):
    """Make every decoder of another kind fail the test as soon as it is asked anything."""

    def never(*_arguments):
        raise AssertionError("a decoder of another format was entered")

    Image.init()
    for other in set(Image.OPEN) - set(kinds):
        monkeypatch.setitem(Image.OPEN, other, (never, never))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_its_decoder_does_not_take_is_given_to_no_other(kind, monkeypatch):
    broken = {
        "PNG": png(header(8, 8, depth=3), chunk(b"IDAT"), chunk(b"IEND")),
        "JPEG": jpeg_of_size(8, 8).replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc0\x00\x0b\x07"),
        "WEBP": riff(webp_lossless(8, 8)),
    }
    _forbid_all_but(monkeypatch, kind)
    with pytest.raises(FileRejected):
        open_picture(broken[kind])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_name_of_a_file_says_nothing(kind, data_folder):
    data = encoded(Image.new("RGB", (64, 48)), kind)
    for name in ("a.png", "a.jpg", "a.webp", "a.psd", "a.html", "a"):
        (data_folder / name).write_bytes(data)
        assert open_picture(data_folder / name).size == (64, 48)


def test_broken_files_in_a_folder_are_told_apart_from_good_ones(data_folder):
    good = encoded(Image.new("RGB", (8, 8), "red"), "PNG")
    for number in range(20):
        (data_folder / f"good{number}.png").write_bytes(good)
        (data_folder / f"cut{number}.png").write_bytes(good[: number * 3])
    (data_folder / "folder.png").mkdir()
    (data_folder / "locked.png").symlink_to(data_folder / "folder.png")
    opened, refused = 0, 0
    for path in data_folder.iterdir():
        try:
            opened += open_picture(path).size == (8, 8)
        except FileRejected:
            refused += 1
    assert (opened, refused) == (20, 22)


def _seeds() -> list[bytes]:
    colours = Image.effect_noise((40, 24), 90)
    picture = Image.merge("RGBA", [colours, colours.rotate(180), colours, colours])
    flat = picture.convert("RGB")
    return [
        encoded(picture, "PNG", exif=oriented(6)),
        encoded(flat.quantize(7), "PNG", transparency=b"\0\x80"),
        encoded(colours.convert("1"), "PNG"),
        encoded(flat, "JPEG", exif=oriented(3)),
        encoded(flat.convert("CMYK"), "JPEG", progressive=True),
        encoded(picture, "WEBP", exif=oriented(8)),
        encoded(picture, "WEBP", lossless=True),
    ]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed, place = bytearray(data), chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            del changed[place:]
        case 1:
            del changed[place : place + chance.randrange(1, 50)]
        case 2:
            changed[place:place] = chance.randbytes(chance.randrange(1, 50))
        case 3:
            changed[place : place + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        case _:
            for _ in range(chance.randrange(1, 9)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
    return _with_checksums(changed) if chance.random() < 0.7 else bytes(changed)


def _with_checksums(data: bytearray) -> bytes:
    """Repair the checksums of a PNG, so that damage reaches the decoder."""
    offset = len(PNG_START)
    while data.startswith(PNG_START) and offset + 12 <= len(data):
        end = offset + 8 + struct.unpack_from(">I", data, offset)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[offset + 4 : end]))
        offset = end + 4
    return bytes(data)


def test_a_damaged_picture_opens_or_is_refused_and_nothing_else():
    chance, seeds = random.Random(20), _seeds()
    refused = 0
    for _ in range(10_000):
        data = _mutated(chance.choice(seeds), chance)
        try:
            assert open_picture(data).mode == "RGB"
        except FileRejected as error:
            refused += 1
            assert "object at 0x" not in error.message
    assert 2000 < refused < 10_000
