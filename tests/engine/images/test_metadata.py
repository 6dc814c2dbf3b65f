"""A recipe goes into a picture and comes back as a checked proposal, nothing private with it."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.errors import FileRejected, NotFound
from engine.images.metadata import (
    MAX_RECIPE_BYTES,
    make_recipe,
    read_recipe,
    request_from_recipe,
    write_text,
)
from engine.images.save import encode_png
from engine.request import MAX_PROMPT_CHARACTERS, MAX_SEED, Precision, Request
from tests.engine.images.pictures import chunk, small_png, text_chunk

PIECES = (
    "a red cat",
    "🐈‍⬛",
    "👩🏽‍🚀",
    "قطة حمراء",
    "חתול",
    "红色的猫",
    "\u202eabc\u202c",
    "\n",
    "\r\n",
    "\t",
    "\x1b[31m",
    "\x7f",
    '"',
    "\\",
    "\\n",
    "'",
    "{}",
    "%s",
    "é",
    "e\u0301",
    "\ufeff",
    "\ufffe",
    " ",
    "",
    "<b>",
    "Negative prompt: no",
    "Steps: 3, Seed: 4",
    "\u2028",
    "\x85",
    "\U0010ffff",
    "\x01",
)


def _random_request(chance: random.Random) -> Request:
    def text() -> str:
        return chance.choice((" ", "")).join(chance.choices(PIECES, k=chance.randrange(12)))

    def side() -> int:
        return 16 * chance.randrange(4, 300)

    return Request(
        prompt=text(),
        negative=text(),
        model=chance.choice(("demo-turbo", "base", "my model", "模型")),
        seed=chance.choice((0, 1, MAX_SEED, chance.randrange(MAX_SEED))),
        steps=chance.randrange(1, 1001),
        guidance_scale=chance.choice((0.0, 1e-300, 0.1, chance.uniform(0, 100))),
        shift=chance.uniform(0.01, 100),
        sampler=chance.choice(("euler", "heun")),
        width=side(),
        height=side(),
        cfg_normalization=chance.uniform(0, 100),
        cfg_truncation=chance.random(),
        step_cache=chance.random(),
        precision=chance.choice(list(Precision)),
    )


def _recipe(request: Request, **changes) -> dict[str, object]:
    values = {"model_hash": "0123abcd", "precision": "bf16", "plan": "whole", "warnings": ()}
    return make_recipe(request, **{**values, **changes})


def _filled(**changes) -> Request:
    values = {"seed": 7, "steps": 8, "guidance_scale": 0.0, "shift": 3.0, "width": 64, "height": 64}
    return Request(**{"prompt": "a red cat", **values, **changes})


def _saved(recipe: dict[str, object]) -> bytes:
    return encode_png(torch.zeros(2, 2, 3, dtype=torch.uint8), write_text(recipe))


def test_a_thousand_requests_come_back_equal():
    chance = random.Random(8)
    for _ in range(1000):
        request = _random_request(chance)
        recipe = _recipe(request, warnings=("the prompt was cut after 512 tokens",))
        found = read_recipe(_saved(recipe))
        assert found == recipe
        assert request_from_recipe(found) == (request, ())


def test_the_longest_request_comes_back_equal():
    longest = "🐈" * MAX_PROMPT_CHARACTERS
    request = _filled(prompt=longest, negative=longest)
    assert request_from_recipe(read_recipe(_saved(_recipe(request)))) == (request, ())


def test_a_recipe_is_read_from_a_file_and_survives_another_program(data_folder):
    recipe = _recipe(_filled(prompt="猫\n🐈"))
    (data_folder / "a.png").write_bytes(_saved(recipe))
    picture = Image.open(data_folder / "a.png")
    assert json.loads(picture.text["recipe"]) == recipe
    assert read_recipe(data_folder / "a.png") == recipe


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXz"])
@pytest.mark.parametrize("after", [False, True])
def test_a_recipe_is_found_in_every_kind_of_text_chunk(kind, after):
    text = text_chunk(kind, b"recipe", '{"猫": 1}'.encode())
    other = text_chunk(b"tEXt", b"recipes", b"{}")
    data = small_png(other, after=text) if after else small_png(other, text)
    assert read_recipe(data) == {"猫": 1}


def test_other_tools_find_the_form_they_know():
    request = _filled(
        prompt="a red cat\non a hill", negative="blurry", seed=0, guidance_scale=3.5, model="base"
    )
    assert write_text(_recipe(request))["parameters"] == (
        "a red cat\non a hill\n"
        "Negative prompt: blurry\n"
        "Steps: 8, Sampler: euler, CFG scale: 4.5, Seed: 0, Size: 64x64, Model: base, "
        "Model hash: 0123abcd, Shift: 3.0, Version: Atelier Z"
    )
    plain = write_text(_recipe(_filled(), model_hash=""))["parameters"]
    assert "Negative prompt" not in plain
    assert "Model hash" not in plain
    assert "CFG scale: 1," in plain


# Put together here, for no file of the program may hold a home folder.
HOME = "/" + "home/ann b"
PRIVATE = (
    f"{HOME}/models/z-image",
    f"{HOME}/models/z-image/",
    "C:" + r"\Users\ann b\z-image",
    "C:" + r"\Users\ann b" + "\\z-image\\",
    "C:/" + "Users/ann b/z-image",
    r"\\nas\ann b\z-image",
    "//nas/ann b/z-image",
    "../ann b/z-image",
    "ann b/z-image",
    str(Path.home() / "ann b" / "z-image"),
)


@pytest.mark.parametrize("path", PRIVATE)
def test_a_recipe_names_a_model_by_its_folder_alone(path):
    texts = write_text(_recipe(_filled(model=path)))
    assert json.loads(texts["recipe"])["request"]["model"] == "z-image"
    assert "ann b" not in "".join(texts.values())


@pytest.mark.parametrize("path", PRIVATE)
def test_a_recipe_names_a_lora_by_its_file_alone(path):
    recipe = _recipe(_filled(loras=[{"name": path, "weight": 0.5}]))
    assert recipe["request"]["loras"] == [{"name": "z-image", "weight": 0.5}]
    assert request_from_recipe(recipe)[1] == ()


@pytest.mark.parametrize("path", [*PRIVATE[:7], "../z-image"])
def test_a_recipe_cannot_lead_to_a_lora_elsewhere(path):
    recipe = _recipe(_filled())
    recipe["request"]["loras"] = [{"name": path, "weight": 1.0}]
    request, notes = request_from_recipe(recipe)
    assert request.loras == ()
    assert len(notes) == 1 and "path" in notes[0]


@pytest.mark.parametrize("path", [".", "./", "../z-image/.", "inner/..", ".."])
def test_a_model_folder_that_is_given_without_its_name_is_named_too(path, tmp_path, monkeypatch):
    inner = tmp_path / "z-image" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner if path == ".." else inner.parent)
    recipe = _recipe(_filled(model=path))
    assert recipe["request"]["model"] == "z-image"
    assert request_from_recipe(recipe)[1] == ()


@pytest.mark.parametrize("path", [*PRIVATE[:7], PRIVATE[-1]])
@pytest.mark.parametrize("sentence", ["{}", "The file {} is odd.", "see '{}'", "({})", "a={}"])
def test_warnings_and_plan_hold_no_folders(path, sentence):
    text = sentence.format(path + "/x.safetensors")
    recipe = _recipe(_filled(), plan=text, warnings=[text])
    written = json.dumps(recipe)
    assert "ann b" not in written
    assert "x.safetensors" in written
    assert str(Path.home()) not in written


def test_a_recipe_needs_no_home(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert _recipe(_filled(), plan="whole")["plan"] == "whole"


@pytest.mark.parametrize(
    "text", ["cut after 3/4 of 512 tokens", "and/or", "a / b / c", "1 // 2", "fp16 -> bf16", "~/x"]
)
def test_text_without_folders_stays_as_it_is(text):
    assert _recipe(_filled(), plan=text)["plan"] == text


def _with_text(data: bytes) -> bytes:
    return small_png(text_chunk(b"tEXt", b"recipe", data))


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\x89PNG",
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        small_png(),
        small_png()[:40],
        small_png()[:-1],
        _with_text(b""),
        _with_text(b"null"),
        _with_text(b"[]"),
        _with_text(b'"x"'),
        _with_text(b"{"),
        _with_text(b"\xe9"),
        _with_text(b'{"a": NaN}'),
        _with_text(b'{"a": 1e999}'),
        _with_text(b'{"a": 1, "a": 1}'),
        _with_text(b'{"a":' * 9 + b"1" + b"}" * 9),
        _with_text(b"[" * 100_000),
        _with_text(b'{"a": "' + b"x" * MAX_RECIPE_BYTES + b'"}'),
        small_png(text_chunk(b"zTXt", b"recipe", b'"' + bytes(100_000_000))),
        small_png(text_chunk(b"iTXz", b"recipe", b'"' + bytes(100_000_000))),
        small_png(chunk(b"zTXt", b"recipe\0\0not packed")),
        small_png(chunk(b"zTXt", b"recipe\0")),
        small_png(chunk(b"iTXt", b"recipe\0")),
        small_png(chunk(b"iTXt", b"recipe\0\1\0")),
        _with_text(b'{"a": 1}').replace(b'{"a"', b'{"b"'),
    ],
    ids=lambda source: repr(source[60:100]),
)
def test_junk_is_refused_with_a_sentence(source):
    with pytest.raises(FileRejected, match=r"\w+ \w+"):
        read_recipe(source)


def test_a_missing_picture_is_not_found(data_folder):
    with pytest.raises(NotFound):
        read_recipe(data_folder / "gone.png")


@pytest.mark.parametrize("recipe", [{}, {"request": None}, {"request": []}, {"request": "x"}])
def test_a_recipe_without_a_request_is_refused(recipe):
    with pytest.raises(FileRejected, match="no request"):
        request_from_recipe(recipe)


BEYOND = [
    ("steps", 10**9),
    ("steps", 0),
    ("steps", 8.5),
    ("steps", True),
    ("width", 10**6),
    ("width", 100),
    ("height", -64),
    ("guidance_scale", 1e9),
    ("guidance_scale", "4"),
    ("guidance_scale", True),
    ("count", 10**6),
    ("count", None),
    ("seed", -1),
    ("seed", 2**70),
    ("shift", 0),
    ("shift", []),
    ("cfg_normalization", None),
    ("cfg_truncation", 2),
    ("step_cache", 1.5),
    ("precision", "int2"),
    ("precision", None),
    ("precision", []),
    ("precision", {}),
    ("sampler", ["euler"]),
    ("sampler", None),
    ("model", 7),
    ("model", "/etc/passwd"),
    ("model", r"\\evil\share"),
    ("model", ".."),
    ("model", "a/b"),
    ("model", "C:x"),
    ("prompt", None),
    ("prompt", ["x"]),
    ("prompt", "x" * 1_000_000),
    ("prompt", "a\0b"),
    ("negative", 3),
]


@pytest.mark.parametrize(("name", "value"), BEYOND, ids=lambda value: repr(value)[:20])
def test_a_value_beyond_the_limits_is_left_out_with_a_note(name, value):
    good = _recipe(_filled())["request"]
    request, notes = request_from_recipe({"version": 1, "request": {**good, name: value}})
    default = "" if name == "prompt" else getattr(Request(prompt=""), name)
    assert getattr(request, name) == default
    assert len(notes) == 1
    assert "left out" in notes[0]
    assert len(notes[0]) < 300
    others = {key: item for key, item in request.to_json().items() if key not in {name, "device"}}
    assert others == {key: good[key] for key in others}


def test_a_size_that_is_too_large_together_is_left_out():
    values = {"prompt": "x", "width": 8192, "height": 8192}
    request, notes = request_from_recipe({"version": 1, "request": values})
    assert (request.width, request.height) == (8192, None)
    assert len(notes) == 1


def test_unknown_values_and_versions_are_noted():
    values = {"prompt": "x", "loras": [1], "y" * 1000: 1}
    request, notes = request_from_recipe({"version": 2, "request": values})
    assert request == Request(prompt="x")
    assert len(notes) == 3
    assert all(len(note) < 200 for note in notes)
    assert request_from_recipe({"version": 1, "request": {}})[1] == ("The recipe holds no prompt.",)


def test_the_device_of_another_machine_is_not_taken_over():
    values = {"prompt": "x", "device": "cuda:7"}
    assert request_from_recipe({"version": 1, "request": values}) == (Request(prompt="x"), ())


def test_a_huge_recipe_is_refused_before_it_is_read(data_folder):
    size = 512 << 20
    with (data_folder / "a.png").open("wb") as stream:
        stream.write(small_png()[:33] + struct.pack(">I4s", size, b"tEXt") + b"recipe\0")
        stream.truncate(33 + 12 + size)
    tracemalloc.start()
    try:
        with pytest.raises(FileRejected, match="536,870,912 bytes"):
            read_recipe(data_folder / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_length_of_a_text_chunk_is_bounded_before_it_is_read():
    data = small_png()
    broken = data[:33] + struct.pack(">I4s", 2**31 - 1, b"tEXt") + b"recipe\0{}" + data[33:]
    with pytest.raises(FileRejected, match="cut off"):
        read_recipe(broken)
