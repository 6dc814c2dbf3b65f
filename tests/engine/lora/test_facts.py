"""What a file tells of itself: read where it is right, ignored where it is not, always bounded."""

from __future__ import annotations

import base64
import io
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.lora.facts import MAX_WORD, MAX_WORDS, trained_for, trigger_words
from engine.lora.file import read_lora
from engine.lora.thumbnail import thumbnail

Q = "diffusion_model.layers.0.attention.to_q"


def lora(folder, metadata=None, name="cat"):
    tensors = {f"{Q}.lora_A.weight": torch.ones(2, 64), f"{Q}.lora_B.weight": torch.ones(64, 2)}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata or {})
    return read_lora(path)


def picture(side=64, kind="PNG", colour="red"):
    data = io.BytesIO()
    Image.new("RGB", (side, side // 2), colour).save(data, kind)
    return data.getvalue()


def data_url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("metadata", "name", "expected"),
    [
        ({"ss_sd_model_name": "z_image_turbo_bf16.safetensors"}, "cat", "turbo"),
        ({"ss_sd_model_name": "z_image_bf16.safetensors"}, "cat", "base"),
        ({"ss_base_model_version": "zimage:deturbo"}, "cat", "de-turbo"),
        ({"ss_base_model_version": "zimage", "name": "cat_v2"}, "cat", None),
        ({"modelspec.architecture": "z-image-turbo/lora"}, "cat", "turbo"),
        ({"modelspec.title": "Cat for Z-Image-De-Turbo"}, "cat", "de-turbo"),
        ({"modelspec.base_model": "Tongyi-MAI/Z-Image"}, "cat", "base"),
        ({"training_info": '{"step": 3000}', "ss_output_name": "cat_ZIT_v1"}, "cat", "turbo"),
        ({}, "cat-zimage-turbo", "turbo"),
        ({}, "z_image_base_cat", "base"),
        ({}, "omni_cat", "omni-base"),
        ({}, "deposit", None),
        ({}, "cat", None),
    ],
)
def test_what_an_adapter_was_trained_on_is_guessed(metadata, name, expected, tmp_path):
    assert trained_for(lora(tmp_path, metadata, name)) == expected


def test_stated_words_go_before_frequent_tags(tmp_path):
    tags = {"1_cat": {"ohwx cat": 30, "sofa": 12, "window": 20}, "2_more": {"sofa": 15}}
    frequent = {"ss_tag_frequency": json.dumps(tags)}
    assert trigger_words(lora(tmp_path, frequent)) == ("ohwx cat", "sofa", "window")
    stated = frequent | {"modelspec.trigger_phrase": "ohwx, cat ,, ohwx"}
    assert trigger_words(lora(tmp_path, stated)) == ("ohwx", "cat")


@pytest.mark.parametrize(
    "tags",
    ["", "[]", "{", '{"a": 3}', '{"a": {"b": "c"}}', '{"a": {"b": NaN}}', "[" * 5000, "1e999"],
)
def test_junk_in_place_of_tags_is_no_word(tags, tmp_path):
    assert trigger_words(lora(tmp_path, {"ss_tag_frequency": tags})) == ()


def test_words_are_few_short_and_on_one_line(tmp_path):
    many = ", ".join(f"word{i}\n\x07<b>" + "x" * 500 for i in range(1000))
    words = trigger_words(lora(tmp_path, {"modelspec.trigger_phrase": many}))
    assert 0 < len(words) <= MAX_WORDS
    assert all(word.isprintable() and len(word) <= MAX_WORD for word in words)


def size_of(data):
    return Image.open(io.BytesIO(data), formats=["JPEG"]).size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_in_the_file_becomes_a_small_one(kind, tmp_path):
    url = data_url(picture(1000, kind), kind.lower())
    assert size_of(thumbnail(lora(tmp_path, {"modelspec.thumbnail": url}))) == (256, 128)


@pytest.mark.parametrize("ending", [".png", ".preview.png"])
def test_a_picture_beside_the_file_is_taken(ending, tmp_path):
    (tmp_path / f"cat{ending}").write_bytes(picture())
    assert size_of(thumbnail(lora(tmp_path))) == (64, 32)


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64," + base64.b64encode(b"<svg onload=alert(1)>").decode(),
        "data:text/html;base64," + base64.b64encode(picture()).decode(),
        "data:image/png;base64,***",
        "data:image/png;base64,\ud7ff",
        "data:image/png;base64," + base64.b64encode(picture()[:60]).decode(),
        "data:image/png;base64," + base64.b64encode(picture() + bytes(3_100_000)).decode(),
        "https://example.org/cat.png",
        "javascript:alert(1)",
    ],
)
def test_a_picture_that_is_none_counts_as_none(url, tmp_path):
    assert thumbnail(lora(tmp_path, {"modelspec.thumbnail": url})) is None


def test_an_adapter_without_a_picture_has_none(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"no picture")
    assert thumbnail(lora(tmp_path)) is None
