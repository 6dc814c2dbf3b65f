from __future__ import annotations

import json
import random

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from engine.demo.captions import caption
from engine.demo.scenes import COLOUR_NAMES, FULL, SHAPES, WorldScene, sample_scene
from engine.demo.tokenizer import SPECIAL_TOKENS, build_tokenizer

FILES = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}
PROMPT = "A watercolor painting of a house on green hills at sunset, with clouds."
STRANGE = "  Zwei Öfen\n\n<b>&amp; 3 turtles! 龜 🐢\t it's"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def plain(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def chatty(folder):
    return AutoTokenizer.from_pretrained(folder)


def _captions(count):
    rng = random.Random(99)
    scenes = [sample_scene(rng, FULL) for _ in range(count)]
    return [(scene, caption(scene, rng)) for scene in scenes]


def test_the_folder_holds_four_readable_files(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_all_ids_fit_into_512_rows(plain):
    ids = plain.get_vocab(with_added_tokens=True).values()
    assert sorted(ids) == list(range(len(ids)))
    assert len(ids) <= 512


def test_special_tokens_are_one_id_each(plain):
    for token in SPECIAL_TOKENS:
        assert plain.encode(token).ids == [plain.token_to_id(token)]


def test_transformers_and_tokenizers_read_the_same_ids(plain, chatty):
    texts = [text for _, text in _captions(300)] + [STRANGE, "", "<|im_start|>user\n"]
    for text in texts:
        assert chatty(text).input_ids == plain.encode(text).ids


def test_the_vocabulary_files_agree_with_the_tokenizer(folder):
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    assert json.loads((folder / "vocab.json").read_text(encoding="utf-8")) == model["vocab"]
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(" ") for line in lines] == model["merges"]


def test_any_text_comes_back_unchanged(plain):
    for text in (PROMPT, STRANGE):
        assert plain.decode(plain.encode(text).ids, skip_special_tokens=False) == text


def test_a_chat_of_one_prompt_reads_as_qwen3_writes_it(chatty):
    text = chatty.apply_chat_template(
        [{"role": "user", "content": PROMPT}], tokenize=False, add_generation_prompt=True
    )
    assert text == f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"


def test_an_end_and_a_padding_token_are_set(chatty):
    assert (chatty.eos_token, chatty.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert chatty.bos_token is None
    padded = chatty(["red", "a red ring"], padding="max_length", max_length=16).input_ids
    assert [len(ids) for ids in padded] == [16, 16]
    assert padded[0][-1] == chatty.pad_token_id


def test_common_words_are_one_token(plain):
    for word in (*SHAPES, *COLOUR_NAMES, "background", "house", "boat", "sunset", "hills", "left"):
        assert len(plain.encode(" " + word).ids) <= (2 if word in ("center", "plus") else 1), word


def test_captions_are_short(plain):
    shapes, worlds = [], []
    for scene, text in _captions(2000):
        lengths = worlds if isinstance(scene, WorldScene) else shapes
        lengths.append(len(plain.encode(text).ids))
    assert sorted(shapes)[int(0.95 * len(shapes))] <= 24
    assert max(worlds) <= 56


def test_two_runs_write_the_same_bytes(folder, tmp_path):
    build_tokenizer(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
