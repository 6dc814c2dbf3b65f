"""Headers are read whole and right, or refused with the reason."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.header import MAX_TENSORS, read_header
from engine.errors import FileRejected, NotFound
from tests.engine.checkpoints.forge import entries, entry, packed, whole_file


@pytest.fixture
def refused(tmp_path):
    """Write bytes to a file, expect its refusal, and return the sentence."""

    def refuse(content: bytes, name: str = "x.safetensors") -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileRejected) as caught:
            read_header(path)
        return str(caught.value)

    return refuse


def test_a_file_of_the_library_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {"a": torch.ones(2, 3), "b": torch.zeros(5, dtype=torch.bfloat16)}
    save_file(tensors, path, metadata={"made by": "us"})
    header = read_header(path)
    found = {name: (e.dtype, e.shape, e.end - e.start) for name, e in header.tensors.items()}
    assert found == {"a": ("F32", (2, 3), 24), "b": ("BF16", (5,), 10)}
    assert header.metadata == {"made by": "us"}
    assert header.size == path.stat().st_size


def test_files_that_differ_in_the_header_differ_in_the_digest(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(whole_file({name: [2]}))
    (tmp_path / "c").write_bytes(whole_file({"a": [2]}))
    digests = [read_header(tmp_path / name).digest for name in "abc"]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": 7}, "lacks dtype"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "lacks dtype"),
        ({"a": {**entry(), "extra": 1}}, "lacks dtype"),
        ({"a": {**entry(), "dtype": "F33"}}, "unknown dtype 'F33'"),
        ({"a": {**entry(), "dtype": ["F32"]}}, "unknown dtype"),
        ({"a": {**entry(), "shape": [True]}}, "holds True"),
        ({"a": {**entry(), "shape": [-1]}}, "holds -1"),
        ({"a": {**entry(), "shape": [1.0]}}, "holds 1.0"),
        ({"a": {**entry(), "shape": [2**62, 4]}}, "holds 4611686018427387904"),
        ({"a": {**entry(), "shape": [1] * 7}}, "at most 6"),
        ({"a": {**entry(), "data_offsets": [0]}}, "not two numbers"),
        ({"a": {**entry(), "data_offsets": [4, 0]}}, "-4 bytes where 4 belong"),
        ({"a": {**entry(), "data_offsets": [0, 8]}}, "8 bytes where 4 belong"),
        ({"a": entry(start=4)}, "leaves a hole"),
        ({"a": entry(), "b": entry()}, "overlaps"),
        ({"": entry()}, "empty, too long or not printable"),
        ({"a\n": entry()}, "empty, too long or not printable"),
        ({"a" * 257: entry()}, "empty, too long or not printable"),
        ({"__metadata__": {"a": 1}}, "metadata"),
        ({"__metadata__": []}, "metadata"),
        ({"__metadata__": {str(i): "" for i in range(1001)}}, "1,001 entries"),
        (b'{"a":1,"a":2}', "comes twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":', "not valid JSON"),
        (b'{"\xff":1}', "not valid JSON"),
    ],
    ids=repr,
)
def test_a_damaged_header_is_refused_with_the_reason(header, reason, refused):
    assert reason in refused(packed(header, bytes(4)))


def test_more_tensors_than_any_model_has_are_refused(refused):
    shapes = {f"t{i}": [0] for i in range(MAX_TENSORS + 1)}
    raw = json.dumps(entries(shapes), separators=(",", ":")).encode()
    assert "20,001 tensors" in refused(packed(raw))


def test_a_file_that_is_too_long_is_refused_with_both_sizes(refused):
    good = whole_file({"a": [3]})
    sentence = refused(good + b"more")
    assert f"{len(good) + 4:,} bytes" in sentence
    assert f"accounts for {len(good):,}" in sentence


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG picture"),
        (b"plain words, nothing else", "not a safetensors file"),
        (bytes(64), "not a safetensors file"),
    ],
)
def test_another_kind_of_file_is_named(content, what, refused):
    assert what in refused(content)


def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe.safetensors", "folder.safetensors"):
        with pytest.raises(FileRejected):
            read_header(tmp_path / name)
    with pytest.raises(NotFound):
        read_header(tmp_path / "absent.safetensors")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileRejected):
        read_header(tmp_path / "loop")
    with pytest.raises(FileRejected):
        read_header(tmp_path / "nul\0.safetensors")
