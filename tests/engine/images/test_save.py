"""Pictures are saved without loss, with their texts, whole or not at all."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from engine.images.open import open_picture
from engine.images.save import encode_png


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
