"""Corrupt, truncated and oversized GGUF headers are refused in one clear sentence, quickly."""

from __future__ import annotations

import random
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from engine.checkpoints.gguf import MAX_LISTED_TEXTS
from engine.checkpoints.header import read_header
from engine.errors import FileRejected
from tests.engine.checkpoints.forge_gguf import (
    TEXT,
    listed,
    packed,
    tensor,
    text,
    value,
    whole_file,
)
from tests.faults.pace import assert_quick

ONE = tensor("a", [8])


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "x.gguf"


def refusal(path: Path) -> str:
    with pytest.raises(FileRejected) as caught:
        read_header(path)
    return str(caught.value)


def _look(path: Path) -> None:
    with suppress(FileRejected):
        read_header(path)


def first_byte(path: Path) -> int:
    return min(entry.start for entry in read_header(path).tensors.values())


def test_a_truncated_file_names_both_sizes_wherever_it_was_cut(path):
    raw = whole_file()
    path.write_bytes(raw)
    first = first_byte(path)
    for size in sorted({*range(9, first), *(len(raw) * p // 100 for p in range(2, 100))}):
        path.write_bytes(raw[:size])
        sentence = refusal(path)
        assert f"x.gguf is incomplete: {size:,} of " in sentence
        if size >= first:
            assert f"of {len(raw):,} bytes" in sentence


@pytest.mark.parametrize("seed", range(10))
def test_flipped_bytes_of_a_header_are_refused_or_harmless_and_never_slow(seed, path):
    raw, rng = whole_file(), random.Random(seed)
    path.write_bytes(raw)
    first, refused = first_byte(path), 0
    for _ in range(100):
        mutated = bytearray(raw)
        for _ in range(rng.randint(1, 8)):
            mutated[rng.randrange(4, first)] = rng.randrange(256)
        path.write_bytes(mutated)
        try:
            header = read_header(path)
        except FileRejected as error:
            refused += 1
            assert len(str(error)) < 600
            assert str(error).isprintable()
        else:
            assert all(entry.end <= len(raw) for entry in header.tensors.values())
        assert_quick(lambda: _look(path), 0.05)
    assert refused >= 50


def test_no_inserted_or_removed_byte_goes_unnoticed(path):
    raw, rng = whole_file(), random.Random(0)
    path.write_bytes(raw)
    first = first_byte(path)
    for _ in range(200):
        place = rng.randrange(8, first - 32)
        path.write_bytes(raw[:place] + b"\xff" + raw[place:])
        refusal(path)
        path.write_bytes(raw[:place] + raw[place + 1 :])
        refusal(path)


BOMBS = {
    "tensors": lambda: struct.pack("<4sIQQ", b"GGUF", 3, 2**63, 0) + bytes(99),
    "values": lambda: struct.pack("<4sIQQ", b"GGUF", 3, 1, 2**63) + bytes(99),
    "a long text": lambda: packed([ONE], [value("k", TEXT, struct.pack("<Q", 2**64 - 1))]),
    "a text of 20 MB": lambda: packed([ONE], [value("k", TEXT, text(b"a" * 20_000_000))]),
    "a long key": lambda: packed([ONE], [struct.pack("<Q", 2**40) + bytes(99)]),
    "a long name": lambda: packed([struct.pack("<Q", 2**40) + bytes(99)]),
    "a long list": lambda: packed([ONE], [listed("k", 12, 2**61, bytes(99))]),
    "a list of 20 MB": lambda: packed([ONE], [listed("k", 0, 20_000_000, bytes(20_000_000))]),
    "many texts": lambda: packed(
        [ONE], [listed("k", TEXT, MAX_LISTED_TEXTS + 1, bytes(8 * MAX_LISTED_TEXTS + 8))]
    ),
    "a long text in a list": lambda: packed(
        [ONE], [listed("k", TEXT, 9, struct.pack("<Q", 2**64 - 1) + bytes(99))]
    ),
    "texts in two lists": lambda: packed(
        [ONE],
        [listed(k, TEXT, 300_000, bytes(2_400_000)) for k in ("k", "l")],
    ),
    "huge sides": lambda: packed([tensor("a", [2**40] * 4)], data=32),
    "rank of millions": lambda: packed([text("a") + struct.pack("<I", 2**31) + bytes(9999)]),
    "wide texts": lambda: packed(
        [tensor("a", [9])],
        [value(str(i), TEXT, text("x" * 4000 + "\U0001f600")) for i in range(1000)],
    ),
    "tensors one over the limit": lambda: packed(
        [tensor(f"t{i}", [8], offset=32 * i) for i in range(20_001)], data=32 * 20_001
    ),
    "the most tensors with the last one twice": lambda: packed(
        [tensor(f"t{i}", [8], offset=32 * i) for i in (*range(19_999), 5)], data=32 * 20_000
    ),
}  # fmt: skip

REASONS = {
    "a long list": "longer than 16,000,000 bytes",
    "a list of 20 MB": "longer than 16,000,000 bytes",
    "many texts": "more than 400,000 texts",
    "texts in two lists": "more than 400,000 texts",
    "huge sides": "is incomplete",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_header_bomb_is_refused_in_little_time_and_memory(bomb, path):
    path.write_bytes(BOMBS[bomb]())
    assert REASONS.get(bomb, "") in refusal(path)
    tracemalloc.start()
    try:
        refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_quick(lambda: refusal(path), 0.1)
    assert peak <= 50_000_000
