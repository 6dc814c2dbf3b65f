"""A tokenizer is checked before the tokenizer library sees it."""

from __future__ import annotations

import copy
import json
import time

import pytest
from transformers import Qwen2Tokenizer

from engine.checkpoints.tokenizer import CHAT_MARKS, read_tokenizer
from engine.errors import FileRejected

SIZE = 300


@pytest.fixture
def described(tokenizer_folder):
    return json.loads((tokenizer_folder / "tokenizer.json").read_text())


@pytest.fixture
def written(tmp_path):
    def write(values: object):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(values))
        return path

    return write


def changed(values, place: tuple, new: object):
    """A copy in which the value at `place` is another one."""
    found = copy.deepcopy(values)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return found


def test_merges_come_as_pairs_or_as_text(described, written):
    ids = []
    for merges in ([["a", "b"]], ["a b"]):
        values = changed(described, ("model", "merges"), merges)
        values["model"]["vocab"]["ab"] = 290
        ids.append(read_tokenizer(written(values), SIZE).encode("ab").ids)
    assert ids == [[290], [290]]


def test_prompts_are_neither_cut_nor_padded_whatever_the_file_says(described, written):
    described["truncation"] = {
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
    }  # fmt: skip
    described["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a",
    }  # fmt: skip
    assert len(read_tokenizer(written(described), SIZE).encode("seven.!").ids) == 7


@pytest.mark.parametrize(
    ("place", "new", "reason"),
    [
        (("model", "type"), "WordPiece", "no byte-pair tokenizer"),
        (("model",), [], "no byte-pair tokenizer"),
        (("model", "dropout"), 0.5, "dropout is 0.5"),
        (("model", "byte_fallback"), True, "byte_fallback is True"),
        (("model", "vocab"), [], "no vocab"),
        (("model", "vocab", "a"), SIZE, "token id 300 is none of the text encoder's 300"),
        (("model", "vocab", "a"), -1, "token id -1"),
        (("model", "vocab", "a"), "1", "token id '1'"),
        (("model", "vocab", "a"), None, "token id None"),
        (("added_tokens", 0, "id"), 10**9, "token id 1000000000"),
        (("added_tokens", 0), "x", "token id None"),
        (("added_tokens",), [], "lacks the tokens <|im_start|>, <|im_end|>"),
        (("model", "merges"), None, "no merges"),
        (("model", "merges"), [["a", "absent"]], "merge ['a', 'absent']"),
        (("model", "merges"), ["a b c"], "merge 'a b c'"),
        (("model", "merges"), [[1, 2]], "merge [1, 2]"),
        (("normalizer",), {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "Precompiled"),
        (("normalizer",), {"type": "Replace", "pattern": {"Regex": "(a+)+$"}}, "Replace"),
        (("pre_tokenizer", "pretokenizers", 0, "pattern"), {"Regex": "(a+)+$"}, "(a+)+$"),
        (("pre_tokenizer", "pretokenizers", 0, "behavior"), "Removed", "pre_tokenizer"),
        (("pre_tokenizer", "pretokenizers", 0, "invert"), True, "pre_tokenizer"),
        (("pre_tokenizer", "pretokenizers", 1, "use_regex"), True, "pre_tokenizer"),
        (("pre_tokenizer", "pretokenizers", 1, "add_prefix_space"), True, "pre_tokenizer"),
        (("pre_tokenizer", "pretokenizers", 1, "x"), True, "pre_tokenizer"),
        (("pre_tokenizer", "pretokenizers"), [], "pre_tokenizer"),
        (("pre_tokenizer",), {"type": ["ByteLevel"]}, "pre_tokenizer is not Qwen2's"),
        (("pre_tokenizer",), None, "pre_tokenizer is not Qwen2's: None"),
        (("normalizer",), None, "normalizer is not Qwen2's: None"),
    ],
)
def test_an_odd_tokenizer_is_refused_with_the_reason(place, new, reason, described, written):
    with pytest.raises(FileRejected) as caught:
        read_tokenizer(written(changed(described, place, new)), SIZE)
    assert reason in caught.value.message


@pytest.mark.parametrize("count", [2, 3, 40])
def test_known_rules_in_a_row_that_would_double_a_text_each_are_refused(count, described, written):
    rules = described["pre_tokenizer"]["pretokenizers"]
    rules += rules[1:] * (count - 1)
    with pytest.raises(FileRejected, match="pre_tokenizer"):
        read_tokenizer(written(described), SIZE)


def test_added_tokens_that_the_library_would_number_beyond_the_encoder_are_refused(
    described, written
):
    mark = described["added_tokens"][0]
    described["added_tokens"] += [mark | {"content": f"<|{n}|>", "id": 7} for n in range(41)]
    assert len(read_tokenizer(written(described), SIZE).get_vocab()) == SIZE
    described["added_tokens"].append(mark | {"content": "<|41|>", "id": 7})
    with pytest.raises(FileRejected, match="reach the token id 300, but the text encoder has 300"):
        read_tokenizer(written(described), SIZE)


@pytest.mark.parametrize("trimmed", [False, True])
def test_files_may_differ_in_what_changes_no_token(trimmed, described, written):
    to_bytes = ("pre_tokenizer", "pretokenizers", 1, "trim_offsets")
    found = read_tokenizer(written(changed(described, to_bytes, trimmed)), SIZE)
    assert found.encode(" a b").tokens == ["Ġ", "a", "Ġ", "b"]


def test_a_tokenizer_that_the_reference_wrote_is_read(described, tmp_path):
    vocabulary = described["model"]["vocab"]
    Qwen2Tokenizer(vocabulary, [], additional_special_tokens=list(CHAT_MARKS)).save_pretrained(
        tmp_path
    )
    found = read_tokenizer(tmp_path / "tokenizer.json", SIZE)
    assert found.encode("a<|im_end|>").tokens == ["a", "<|im_end|>"]


@pytest.mark.parametrize("field", ["version", "added_tokens"])
def test_what_only_the_library_rejects_is_our_error_too(field, described, written):
    marks = [{"content": mark, "id": 7} for mark in CHAT_MARKS]
    described[field] = {"version": "9.9", "added_tokens": marks}[field]
    with pytest.raises(FileRejected, match="is damaged"):
        read_tokenizer(written(described), SIZE)


def test_a_tokenizer_of_a_hundred_megabytes_is_refused_at_once(tmp_path):
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    start = time.process_time()
    with pytest.raises(FileRejected, match="more than"):
        read_tokenizer(path, SIZE)
    assert time.process_time() - start < 1
