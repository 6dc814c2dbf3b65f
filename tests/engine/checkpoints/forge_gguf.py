"""Builds GGUF headers byte by byte, right and wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod

U32, F32, BOOL, TEXT, LIST, U64 = 4, 6, 7, 8, 9, 10
SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 30: (1, 2)}
"""Weights and bytes of a block, by the type's number."""


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(key: str | bytes, kind: int, raw: bytes) -> bytes:
    """One entry of the metadata."""
    return text(key) + struct.pack("<I", kind) + raw


def number(key: str, found: int) -> bytes:
    return value(key, U32, struct.pack("<I", found))


def listed(key: str, kind: int, count: int, raw: bytes) -> bytes:
    return value(key, LIST, struct.pack("<IQ", kind, count) + raw)


def tensor(name: str | bytes, sides: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """One tensor's description; `sides` begins with the fastest."""
    return text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, offset)


def packed(
    tensors: Sequence[bytes], values: Sequence[bytes] = (), *, data: int = 0, version: int = 3
) -> bytes:
    """A file of these descriptions and metadata, with `data` zero bytes behind the header."""
    head = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values))
    head += b"".join(values) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


def whole_file(count: int = 6) -> bytes:
    """A right file of some tensors of each kind, and metadata of each kind."""
    described, position = [], 0
    for number_ in range(count):
        kind = list(SIZES)[number_ % len(SIZES)]
        weights, size = SIZES[kind]
        sides = (512, 2)
        described.append(tensor(f"blk.{number_}.weight", sides, kind, position))
        position += -(-(prod(sides) // weights * size) // 32) * 32
    values = (
        value("general.architecture", TEXT, text("lumina2")),
        value("a.flag", BOOL, b"\1"),
        value("a.number", F32, struct.pack("<f", 0.5)),
        number("general.file_type", 7),
        listed("tokenizer.ggml.tokens", TEXT, 3, text("a") + text("bc") + text("")),
        listed("tokenizer.ggml.types", U32, 3, bytes(12)),
    )
    return packed(described, values, data=position)
