"""Pictures are saved without loss, with their texts, whole or not at all."""

from __future__ import annotations

import io
import json

import pytest
import torch
from PIL import Image

from engine.errors import BadRequest, FileRejected
from engine.images.exif import description
from engine.images.metadata import read_recipe
from engine.images.open import open_picture
from engine.images.save import SUFFIXES, encode, encode_png, texts_that_fit


def _picture(height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)


@pytest.mark.parametrize("size", [(1, 1), (24, 40), (64, 3)])
def test_every_pixel_comes_back(size):
    picture = _picture(*size)
    opened = open_picture(encode_png(picture, {}))
    assert opened.size == size[::-1]
    assert opened.tobytes() == picture.numpy().tobytes()


def test_a_picture_that_is_not_contiguous_is_saved_as_it_looks():
    picture = _picture().flip(1).transpose(0, 1)[::2]
    assert open_picture(encode_png(picture, {})).tobytes() == picture.contiguous().numpy().tobytes()


def test_texts_are_kept_in_full():
    texts = {"recipe": '{"a": "\\ud83d"}', "parameters": "猫 🐈\né \u202e"}
    assert Image.open(io.BytesIO(encode_png(_picture(), texts))).text == texts


def test_the_same_picture_gives_the_same_bytes():
    picture = _picture()
    assert encode_png(picture, {"a": "b"}) == encode_png(picture.clone(), {"a": "b"})


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(8, 8, 3),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 8, 8, 3, dtype=torch.uint8),
        torch.zeros(8, 8, 4, dtype=torch.uint8),
    ],
)
def test_what_is_no_picture_is_a_mistake_of_ours(picture):
    with pytest.raises(ValueError, match=r"\[H, W, 3\] uint8"):
        encode_png(picture, {})


TEXTS = {"recipe": '{"version": 1, "prompt": "\\ud83d"}', "parameters": "猫 🐈\nSteps: 4"}


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_two_kinds_of_files_keep_every_pixel(suffix):
    picture = _picture()
    assert open_picture(encode(picture, suffix, TEXTS)).tobytes() == picture.numpy().tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_a_jpeg_is_close_to_the_picture_in_every_colour(suffix):
    row = torch.linspace(0, 255, 64).to(torch.uint8)
    picture = torch.stack(
        [row.expand(64, 64), row.flip(0).expand(64, 64), row[:, None].expand(64, 64)], 2
    )
    data = encode(picture, suffix, {})
    opened = torch.frombuffer(bytearray(open_picture(data).tobytes()), dtype=torch.uint8)
    assert data.startswith(b"\xff\xd8")
    assert (opened.view(64, 64, 3).int() - picture.int()).abs().max() <= 12


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_comes_back_from_every_kind_of_file(suffix, tmp_path):
    recipe = {"version": 1, "request": {"prompt": "猫 \ud83d"}}
    data = encode(_picture(), suffix, {"recipe": json.dumps(recipe), "parameters": "猫 🐈"})
    assert read_recipe(data) == recipe
    (tmp_path / "a").write_bytes(data)
    assert read_recipe(tmp_path / "a") == recipe


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_other_tools_find_the_words_where_they_look(suffix):
    exif = Image.open(io.BytesIO(encode(_picture(), suffix, TEXTS))).getexif()
    comment = exif.get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    assert comment[8:].decode("utf-16-be") == TEXTS["parameters"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_texts_a_file_says_nothing(suffix):
    data = encode(_picture(), suffix, {})
    with pytest.raises(FileRejected, match="no recipe"):
        read_recipe(data)
    assert not Image.open(io.BytesIO(data)).getexif()


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_of_texts_that_are_too_long_the_recipe_is_kept_first(suffix):
    recipe = json.dumps({"version": 1, "words": "x" * 40_000})
    long = {"recipe": recipe, "parameters": "y" * 20_000}
    assert texts_that_fit(suffix, TEXTS) == TEXTS
    assert set(texts_that_fit(suffix, long)) == {"recipe"}
    assert read_recipe(encode(_picture(), suffix, long))["words"] == "x" * 40_000
    endless = {"recipe": json.dumps({"words": "x" * 70_000})}
    assert texts_that_fit(suffix, endless) == {}
    assert open_picture(encode(_picture(), suffix, endless)).size == (40, 24)
    assert texts_that_fit(".png", endless) == endless


@pytest.mark.parametrize("suffix", ["", ".gif", ".PNG", "png"])
def test_another_kind_of_file_is_refused(suffix):
    with pytest.raises(BadRequest, match="not saved as"):
        encode(_picture(), suffix, {})


def test_junk_in_place_of_an_exif_block_is_no_recipe():
    block = Image.Exif()
    block[0x010E] = "{}" + "x" * 40
    for order in (b"II\x2a\0", b"MM\0\x2a"):
        whole = order + block.tobytes()[10:]
        for end in range(len(whole)):
            description(whole[:end])
        for place in range(len(whole)):
            description(whole[:place] + b"\xff" + whole[place + 1 :])
    assert description(b"") is None
    assert description(b"II\x2a\0" + b"\xff" * 8) is None
