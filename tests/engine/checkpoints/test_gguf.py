"""GGUF headers are read as the format's own package wrote them, or refused with the reason."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from engine.checkpoints.gguf_names import library_name
from engine.checkpoints.header import read_header
from engine.errors import FileRejected
from tests.engine.checkpoints.forge_gguf import (
    BOOL,
    F32,
    LIST,
    TEXT,
    U32,
    listed,
    number,
    packed,
    tensor,
    text,
    value,
)  # fmt: skip
from tests.faults.pace import assert_quick

ONE = tensor("a", [8])


@pytest.fixture
def refused(tmp_path):
    """Write bytes to a file, expect its refusal, and return the sentence."""

    def refuse(content: bytes) -> str:
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        with pytest.raises(FileRejected) as caught:
            read_header(path)
        return str(caught.value)

    return refuse


def write(path, tensors, **lists):
    """Write a file with the format's own package; `tensors` gives arrays and types by name."""
    writer = GGUFWriter(path, "lumina2")
    writer.add_float32("lumina2.rope.freq_base", 256.0)
    writer.add_bool("lumina2.flag", True)
    for key, entries in lists.items():
        writer.add_array(key.replace("__", "."), entries)
    for name, (array, kind) in tensors.items():
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_file_of_the_formats_package_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "model.gguf"
    blocks = np.arange(3 * 34, dtype=np.uint8).reshape(3, 34)
    write(
        path,
        {
            "a.weight": (blocks, GGMLQuantizationType.Q8_0),
            "b": (np.ones((2, 3, 5), np.float32), None),
            "c": (np.ones(7, np.float16), None),
        },
    )
    header = read_header(path)
    assert {n: (t.dtype, t.shape) for n, t in header.tensors.items()} == {
        "a.weight": ("Q8_0", (3, 32)), "b": ("F32", (2, 3, 5)), "c": ("F16", (7,))
    }  # fmt: skip
    entry = header.tensors["a.weight"]
    assert path.read_bytes()[entry.start : entry.end] == blocks.tobytes()
    assert header.metadata == {
        "general.architecture": "lumina2",
        "lumina2.rope.freq_base": "256.0",
        "lumina2.flag": "true",
    }
    assert header.size == path.stat().st_size


def test_a_flattened_tensor_gets_the_shape_back_that_the_metadata_tells(tmp_path):
    path = tmp_path / "model.gguf"
    array = np.zeros(64, np.float32)
    write(path, {"pad": (array, None)}, comfy__gguf__orig_shape__pad=[1, 64])
    assert read_header(path).tensors["pad"].shape == (1, 64)


def test_the_lists_of_a_tokenizer_are_passed_over_in_little_time_and_memory(tmp_path):
    path = tmp_path / "qwen3.gguf"
    words = [f"token {i}" for i in range(151_936)]
    write(
        path,
        {"token_embd.weight": (np.zeros((4, 8), np.float32), None)},
        tokenizer__ggml__tokens=words,
        tokenizer__ggml__merges=words,
        tokenizer__ggml__token_type=[1] * len(words),
    )
    header = read_header(path)
    assert list(header.metadata) == ["general.architecture", "lumina2.rope.freq_base",
                                     "lumina2.flag"]  # fmt: skip
    assert_quick(lambda: read_header(path), 0.3)
    tracemalloc.start()
    try:
        read_header(path)
        assert tracemalloc.get_traced_memory()[1] <= 30_000_000
    finally:
        tracemalloc.stop()


def test_a_long_text_of_the_metadata_is_passed_over(tmp_path):
    path = tmp_path / "x.gguf"
    values = [value("a.licence", TEXT, text("x" * 4097)), value("a.name", TEXT, text("x" * 4096))]
    path.write_bytes(packed([ONE], values, data=32))
    assert read_header(path).metadata == {"a.name": "x" * 4096}


def test_files_that_differ_in_the_header_differ_in_the_digest(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(packed([tensor(name, [8])], data=32))
    (tmp_path / "c").write_bytes(packed([tensor("a", [8])], data=32))
    digests = [read_header(tmp_path / name).digest for name in "abc"]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed([ONE], version=1, data=32), "version is 1"),
        (packed([ONE], version=0x03000000, data=32), "little endian"),
        (packed([]), "lists 0 tensors"),
        (packed([ONE, ONE], data=64), "twice"),
        (packed([ONE], [number("k", 1), number("k", 1)], data=32), "names 'k' twice"),
        (packed([ONE], [number(str(i), 1) for i in range(1001)], data=32), "1,001 entries"),
        (packed([ONE], [value("k", 13, b"")], data=32), "unknown type 13"),
        (packed([ONE], [value("k", TEXT, text(b"\xff"))], data=32), "no UTF-8"),
        (packed([ONE], [value(b"\xff", U32, bytes(4))], data=32), "no UTF-8"),
        (packed([ONE], [number("k" * 2000, 1)], data=32), "2,000 bytes"),
        (packed([ONE], [listed("k", LIST, 1, bytes(12))], data=32), "unknown type 9"),
        (packed([ONE], [listed("k", 99, 1, bytes(12))], data=32), "unknown type 99"),
        (packed([ONE], [number("general.alignment", 0)], data=32), "alignment is '0'"),
        (packed([ONE], [number("general.alignment", 48)], data=32), "alignment is '48'"),
        (packed([ONE], [number("general.alignment", 2**31)], data=32), "alignment"),
        (packed([ONE], [value("general.alignment", F32, bytes(4))], data=32), "alignment"),
        (packed([ONE], [listed("comfy.gguf.orig_shape.a", U32, 7, bytes(28))]), "at most 6"),
        (packed([ONE], [listed("comfy.gguf.orig_shape.a", F32, 1, bytes(4))]), "whole numbers"),
        (packed([ONE], [listed("comfy.gguf.orig_shape.a", BOOL, 1, b"\1")]), "whole numbers"),
        (
            packed([ONE], [listed("comfy.gguf.orig_shape.a", U32, 1, bytes(4))], data=32),
            "cannot have been",
        ),
        (packed([tensor("", [8])], data=32), "empty, too long or not printable"),
        (packed([tensor("a\n", [8])], data=32), "empty, too long or not printable"),
        (packed([tensor("a" * 257, [8])], data=32), "empty, too long or not printable"),
        (packed([tensor("a" * 2000, [8])], data=32), "2,000 bytes"),
        (packed([tensor(b"\xff", [8])], data=32), "no UTF-8"),
        (packed([tensor("a", [1] * 5)], data=32), "5 sides"),
        (packed([tensor("a", [2**41])], data=32), "holds 2199023255552"),
        (packed([tensor("a", [8], kind=4)], data=32), "unknown type 4"),
        (packed([tensor("a", [8], kind=2**31)], data=32), "unknown type"),
        (packed([tensor("a", [33], kind=8)], data=64), "no multiple of 32"),
        (packed([tensor("a", [], kind=8)], data=64), "no multiple of 32"),
        (packed([tensor("a", [8], offset=32)], data=64), "leaves a hole"),
        (packed([tensor("a", [8], offset=1)], data=64), "leaves a hole"),
        (packed([ONE, tensor("b", [8])], data=64), "overlaps"),
        (packed([tensor("a", [9]), tensor("b", [8], offset=32)], data=96), "overlaps"),
        (packed([tensor("a", [8]), tensor("b", [8], offset=2**60)], data=96), "leaves a hole"),
        (packed([ONE], data=64), "bytes, but its header accounts for"),
    ],
    ids=lambda found: found if isinstance(found, str) else "",
)
def test_a_damaged_header_is_refused_with_the_reason(content, reason, refused):
    sentence = refused(content)
    assert reason in sentence
    assert len(sentence) < 600


def test_the_padding_behind_the_last_tensor_may_be_absent(tmp_path):
    raw = packed([tensor("a", [3])], data=12)
    for size in (len(raw), len(raw) + 20):
        path = tmp_path / "x.gguf"
        path.write_bytes(raw + bytes(size - len(raw)))
        assert read_header(path).tensors["a"].shape == (3,)


@pytest.mark.parametrize(
    ("theirs", "library"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
        ("blk.35.ffn_norm.weight", "model.layers.35.post_attention_layernorm.weight"),
        ("blk.7.attn_k_norm.weight", "model.layers.7.self_attn.k_norm.weight"),
        ("blk.7.ssm_in.weight", "blk.7.ssm_in.weight"),
        ("layers.0.attention.qkv.weight", "layers.0.attention.qkv.weight"),
    ],
)
def test_a_name_of_llama_cpp_becomes_the_librarys(theirs, library):
    assert library_name(theirs) == library
