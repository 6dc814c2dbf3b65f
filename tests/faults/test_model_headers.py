"""Corrupt, truncated and oversized headers are refused in one clear sentence, quickly."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoints.header import read_header
from engine.errors import FileRejected
from tests.engine.checkpoints.forge import entries, entry, packed, whole_file
from tests.faults.pace import assert_quick

EACH = 1000
"""Corrupt headers of each of ten kinds."""

SHAPES = {f"layers.{i}.weight": [3, 4] for i in range(12)} | {"norm.bias": [7], "pad": [1, 5]}


def refusal(path: Path) -> str:
    with pytest.raises(FileRejected) as caught:
        read_header(path)
    return str(caught.value)


# Mutations of a right header, each of a kind that cannot leave it right.


def _with(values: dict, rng: random.Random, **changes: object) -> bytes:
    name = rng.choice(list(values))
    return json.dumps(values | {name: values[name] | changes}).encode()


def _other_bytes(values: dict, rng: random.Random) -> bytes:
    raw = bytearray(json.dumps(values).encode())
    for _ in range(rng.randint(1, 8)):
        raw[rng.randrange(1, len(raw))] |= 0x80
    raw[-1] = 0xFF
    return bytes(raw)


def _cut(values: dict, rng: random.Random) -> bytes:
    raw = json.dumps(values).encode()
    return raw[: rng.randrange(2, len(raw))]


def _twice(values: dict, rng: random.Random) -> bytes:
    name = rng.choice(list(values))
    return json.dumps(values)[:-1].encode() + f', "{name}": {json.dumps(values[name])}}}'.encode()


def _shape(values: dict, rng: random.Random) -> bytes:
    wrong = ([-1], [2**62], [1] * 64, ["3"], [None], 4, [3.5], [True], [3, 4, 9], {}, [[3], [4]])
    return _with(values, rng, shape=rng.choice(wrong))


def _offsets(values: dict, rng: random.Random) -> bytes:
    far = rng.randrange(10_000, 2**63)
    wrong = ([0, far], [far, far + 4], [-48, 0], [48, 0], [0], [0, 1, 2], "0", [0.0, 48.0], None)
    return _with(values, rng, data_offsets=rng.choice(wrong))


def _dtype(values: dict, rng: random.Random) -> bytes:
    return _with(values, rng, dtype=rng.choice(("F8", "f32", "", "x" * 9999, 32, None, ["F32"])))


def _number(values: dict, rng: random.Random) -> bytes:
    wrong = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "0x10", "1" * 30, "-0.0")
    return json.dumps(values).replace("[3, 4]", f"[3, {rng.choice(wrong)}]", 1).encode()


def _field(values: dict, rng: random.Random) -> bytes:
    name = rng.choice(list(values))
    field = rng.choice(("dtype", "shape", "data_offsets"))
    kept = {key: value for key, value in values[name].items() if key != field}
    wrong = (kept, [], None, "x", kept | {field.upper(): 1}, values[name] | {"code": "x"})
    return json.dumps(values | {name: rng.choice(wrong)}).encode()


def _name(values: dict, rng: random.Random) -> bytes:
    wrong = ("", "a" * rng.randint(257, 5000), "a\0b", "a\nb", "\u202ename", "\ud800", "\x1b[2J")
    name = rng.choice(list(values))
    return json.dumps(
        {(rng.choice(wrong) if n == name else n): e for n, e in values.items()}
    ).encode()


MUTATIONS = (
    _other_bytes, _cut, _twice, _shape, _offsets, _dtype, _number, _field, _name,
)  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_thousand_corrupt_headers_of_one_kind_are_refused_in_time(mutation, tmp_path):
    values, data = entries(SHAPES), bytes(4 * (12 * 12 + 7 + 5))
    path = tmp_path / "x.safetensors"
    for seed in range(EACH):
        path.write_bytes(packed(mutation(values, random.Random(seed)), data))
        sentence = refusal(path)
        assert_quick(lambda: refusal(path), 0.05)
        assert "x.safetensors has a damaged header: " in sentence or " bytes" in sentence
        assert len(sentence) < 600
        assert sentence.isprintable()


def test_a_thousand_wrong_lengths_are_refused_in_time(tmp_path):
    raw, path = whole_file(SHAPES), tmp_path / "x.safetensors"
    right = struct.unpack("<Q", raw[:8])[0]
    rng = random.Random(0)
    for _ in range(EACH):
        wrong = rng.choice((rng.randrange(right), rng.randrange(right + 1, 2 * right), 2**64 - 1))
        path.write_bytes(struct.pack("<Q", wrong) + raw[8:])
        assert_quick(lambda: refusal(path), 0.05)


def test_a_truncated_file_names_both_sizes_wherever_it_was_cut(tmp_path):
    raw, path = whole_file(SHAPES), tmp_path / "x.safetensors"
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    places = {*range(header + 1), *(len(raw) * percent // 100 for percent in range(100))}
    for size in sorted(places):
        path.write_bytes(raw[:size])
        whole = f"{len(raw):,}" if size >= header else f"at least {header:,}"
        expected = "at least 10" if size < 8 else whole
        assert f"x.safetensors is incomplete: {size:,} of {expected} bytes." in refusal(path)


def _dense(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()


BOMBS = {
    "72 MB": lambda: packed(_dense({"a" * 72_000_000: entry()}), bytes(4)),
    "a million tensors": lambda: packed(
        b"{" + b",".join(b'"%d":{}' % i for i in range(1_200_000)) + b"}"
    ),
    "too many tensors": lambda: packed(_dense(entries({f"t{i}": [1] for i in range(60_000)}))),
    "names only": lambda: packed(b"{" + b",".join(b'"%x":1' % i for i in range(270_000)) + b"}"),
    "a long name": lambda: packed(_dense({"a" * 7_900_000: entry()}), bytes(4)),
    "rank 64": lambda: packed(_dense({"a": entry([1] * 64)}), bytes(4)),
    "huge dims": lambda: packed(_dense({"a": {**entry(), "shape": [2**62, 2**62]}})),
    "no bytes of huge dims": lambda: packed(_dense({"a": entry([0, 2**62])})),
    "a long shape": lambda: packed(b'{"a":{"shape":[' + b"0," * 3_900_000 + b"0]}}"),
    "empty objects": lambda: packed(b'{"a":[' + b"{}," * 2_600_000 + b"{}]}"),
    "deep lists": lambda: packed(b'{"a":' + b"[" * 130_000 + b"]" * 130_000 + b"}"),
    "deep objects": lambda: packed(b'{"a":' * 80_000 + b"1" + b"}" * 80_000),
    "wide text": lambda: packed(_dense({"__metadata__": {"a": "x" * 7_900_000 + "\U0001f600"}})),
    "a long number": lambda: packed(b'{"a":{"shape":[' + b"9" * 7_900_000 + b"]}}"),
    "many numbers": lambda: packed(b'{"a":[' + b"1e9," * 270_000 + b"1]}"),
    "the last name twice": lambda: packed(
        b"{" + b",".join(b'"%x":1' % i for i in (*range(80_000), 79_999)) + b"}"
    ),
    "one name over and over": lambda: packed(b"{" + b'"a":{},' * 80_000 + b'"a":1}'),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_header_bomb_is_refused_in_little_time_and_memory(bomb, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(BOMBS[bomb]())
    _assert_cheap(lambda: refusal(path))


def test_the_widest_text_that_is_allowed_stays_in_bounds(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(packed(_dense({"__metadata__": {"a": "x" * 3_900_000 + "\U0001f600"}})))
    _assert_cheap(lambda: read_header(path))


def _assert_cheap(action: Callable[[], object]) -> None:
    assert_quick(action, 0.1)
    tracemalloc.start()
    try:
        action()
        assert tracemalloc.get_traced_memory()[1] <= 50_000_000
    finally:
        tracemalloc.stop()
