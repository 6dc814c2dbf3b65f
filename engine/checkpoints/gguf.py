"""Reads the header of a GGUF file, versions 2 and 3, with limits and without the file's arrays.

The format, all little endian: the magic, a version, the numbers of tensors and of metadata values;
the metadata (name, type, value); for each tensor name, sides (the fastest first), type and offset;
then the tensors' bytes, each beginning at a multiple of the alignment.
Reference: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from engine.checkpoints.entry import (
    MAX_DIMENSION,
    MAX_METADATA_ENTRIES,
    MAX_NAME_CHARACTERS,
    MAX_RANK,
    MAX_TENSORS,
    Contents,
    Malformed,
    TensorEntry,
    check_name,
)

MAGIC: Final = b"GGUF"
MAX_HEADER_BYTES: Final = 16_000_000
"""A tokenizer of 152,000 words and as many merges takes a third of this."""

MAX_LISTED_TEXTS: Final = 400_000
MAX_TEXT_BYTES: Final = 4_096
"""Longer texts of the metadata, such as licences and templates, are skipped."""

_MAX_SIDES: Final = 4
_ALIGNMENT: Final = "general.alignment"
_USUAL_ALIGNMENT: Final = 32
_MAX_ALIGNMENT: Final = 65_536
_SHAPE_OF: Final = "comfy.gguf.orig_shape."
_MAX_KEY_BYTES: Final = len(_SHAPE_OF) + 4 * MAX_NAME_CHARACTERS

_BOOL, _TEXT, _LIST = 7, 8, 9
_INTEGERS: Final = frozenset("BbHhIiQq")
_NUMBERS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
)
_LAYOUTS: Final = {letter: struct.Struct(f"<{letter}") for letter in _NUMBERS.values()}
_PLACES: Final = tuple(struct.Struct(f"<{rank}QIQ") for rank in range(_MAX_SIDES + 1))
"""Sides, type and offset of a tensor, by how many sides it has."""


@dataclass(frozen=True, slots=True)
class BlockType:
    """How ggml stores a number type: `weights` of them share a block of `size` bytes."""

    name: str
    weights: int
    size: int


TYPES: Final[Mapping[int, BlockType]] = MappingProxyType(
    {
        number: BlockType(name, weights, size)
        for number, name, weights, size in (
            (0, "F32", 1, 4), (1, "F16", 1, 2), (30, "BF16", 1, 2), (28, "F64", 1, 8),
            (24, "I8", 1, 1), (25, "I16", 1, 2), (26, "I32", 1, 4), (27, "I64", 1, 8),
            (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22), (7, "Q5_1", 32, 24),
            (8, "Q8_0", 32, 34), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110),
            (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210),
            (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98),
            (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110),
            (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136), (29, "IQ1_M", 256, 56),
            (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17),
            (40, "NVFP4", 64, 36),
        )
    }
)  # fmt: skip
"""The number types of GGUF by their number; plain ones are spelled as safetensors does."""


class CutShort(Exception):
    """The file ends before its header does; holds the position that it should at least reach."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


def parse(data: bytes) -> Contents:
    """Read the header that `data`, the file's first `MAX_HEADER_BYTES`, begins with.

    Texts and numbers of the metadata are kept as text; lists are skipped. Shapes are those of the
    model: the slowest side first, and as before a converter flattened them. Raises `Malformed`,
    and `CutShort` where `data` is too short.
    """
    cursor = _Cursor(data)
    tensors, values = _counts(cursor)
    metadata, shapes = _metadata(cursor, values)
    described = dict(_described(cursor) for _ in range(tensors))
    if len(described) != tensors:
        raise Malformed("it lists a tensor twice")
    alignment = _alignment(metadata)
    first = _aligned(cursor.position, alignment)
    entries = {
        name: _entry(name, found, first, shapes.get(name)) for name, found in described.items()
    }
    end = _check_places(entries, first, alignment)
    digest = hashlib.sha256(data[: cursor.position]).hexdigest()
    return Contents(entries, metadata, digest, end, padding=_aligned(end, alignment) - end)


def _counts(cursor: _Cursor) -> tuple[int, int]:
    """Read magic and version; return how many tensors and metadata values follow."""
    cursor.take(len(MAGIC))
    version = int(cursor.number("I"))
    if version not in {2, 3}:
        raise Malformed(f"its version is {version}, and only 2 and 3 in little endian are read")
    tensors, values = int(cursor.number("Q")), int(cursor.number("Q"))
    if not 0 < tensors <= MAX_TENSORS:
        raise Malformed(f"it lists {tensors:,} tensors, not 1 to {MAX_TENSORS:,}")
    if values > MAX_METADATA_ENTRIES:
        raise Malformed(f"its metadata has {values:,} entries")
    return tensors, values


def _metadata(cursor: _Cursor, count: int) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Return the metadata's single values by name, and the shapes it gives for tensors."""
    values, shapes = dict[str, str](), dict[str, tuple[int, ...]]()
    seen = set[str]()
    for _ in range(count):
        key = cursor.text(_MAX_KEY_BYTES, "a name of its metadata")
        if key in seen or not key.isprintable():
            raise Malformed(f"its metadata names {key[:80]!r} twice, or in no printable text")
        seen.add(key)
        kind = int(cursor.number("I"))
        if kind != _LIST:
            value = _value(cursor, kind, key)
            values |= {} if value is None else {key: value}
        elif key.startswith(_SHAPE_OF):
            shapes[key.removeprefix(_SHAPE_OF)] = _shape(cursor, key)
        else:
            _skip_list(cursor, key)
    return values, shapes


def _value(cursor: _Cursor, kind: int, key: str) -> str | None:
    """Return a single value as text; None for a text that is too long to be of use here."""
    if kind == _TEXT:
        length = int(cursor.number("Q"))
        raw = cursor.take(length)
        return _decoded(raw, key) if length <= MAX_TEXT_BYTES else None
    if kind not in _NUMBERS:
        raise Malformed(f"its metadata {key[:80]!r} has the unknown type {kind}")
    number = cursor.number(_NUMBERS[kind])
    return str(bool(number)).lower() if kind == _BOOL else str(number)


def _shape(cursor: _Cursor, key: str) -> tuple[int, ...]:
    kind, count = int(cursor.number("I")), int(cursor.number("Q"))
    letter = _NUMBERS.get(kind, "")
    if letter not in _INTEGERS or kind == _BOOL or count > MAX_RANK:
        raise Malformed(f"{key[:80]!r} is no list of at most {MAX_RANK} whole numbers")
    return tuple(int(cursor.number(letter)) for _ in range(count))


def _skip_list(cursor: _Cursor, key: str) -> None:
    kind, count = int(cursor.number("I")), int(cursor.number("Q"))
    if kind == _TEXT:
        cursor.skip_texts(count)
    elif kind in _NUMBERS:
        cursor.skip(count * _LAYOUTS[_NUMBERS[kind]].size)
    else:
        raise Malformed(f"its metadata {key[:80]!r} lists values of the unknown type {kind}")


def _described(cursor: _Cursor) -> tuple[str, tuple[BlockType, tuple[int, ...], int]]:
    """Return a tensor's name, and its type, sides (the slowest first) and offset."""
    name = cursor.text(4 * MAX_NAME_CHARACTERS, "the name of a tensor")
    check_name(name)
    rank = int(cursor.number("I"))
    if rank > _MAX_SIDES:
        raise Malformed(f"the tensor {name!r} has {rank:,} sides, more than {_MAX_SIDES}")
    *sides, kind, offset = cursor.numbers(_PLACES[rank])
    if kind not in TYPES:
        raise Malformed(f"the tensor {name!r} has the unknown type {kind}")
    if sides and max(sides) > MAX_DIMENSION:
        raise Malformed(f"the shape of {name!r} holds {max(sides)}")
    return name, (TYPES[kind], tuple(reversed(sides)), offset)


def _entry(
    name: str,
    found: tuple[BlockType, tuple[int, ...], int],
    first: int,
    original: tuple[int, ...] | None,
) -> TensorEntry:
    block, shape, offset = found
    row = shape[-1] if shape else 1
    if row % block.weights:
        raise Malformed(f"the rows of {name!r} have {row} weights, no multiple of {block.weights}")
    if original is not None and math.prod(original) != math.prod(shape):
        raise Malformed(f"{name!r} is {list(shape)}, which cannot have been {list(original)}")
    size = math.prod(shape) // block.weights * block.size
    return TensorEntry(block.name, original or shape, first + offset, first + offset + size)


def _alignment(metadata: Mapping[str, str]) -> int:
    found = metadata.get(_ALIGNMENT, str(_USUAL_ALIGNMENT))
    powers = {str(2**power) for power in range(_MAX_ALIGNMENT.bit_length())}
    if found not in powers:
        raise Malformed(f"its alignment is {found[:40]!r}, no power of two to {_MAX_ALIGNMENT:,}")
    return int(found)


def _check_places(entries: Mapping[str, TensorEntry], first: int, alignment: int) -> int:
    """Check that tensors follow one another with no more between than alignment asks for.

    Returns where the last one ends.
    """
    position = first
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != _aligned(position, alignment):
            kind = "overlaps the one before" if entry.start < position else "leaves a hole"
            raise Malformed(f"the tensor {name!r} {kind}")
        position = entry.end
    return position


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _decoded(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{what[:80]} is no UTF-8 text") from None


class _Cursor:
    """Reads values from bytes, one after another; raises `CutShort` beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0
        self._texts = 0

    def skip(self, length: int) -> None:
        """Pass over `length` bytes."""
        end = self.position + length
        if end > MAX_HEADER_BYTES:
            raise Malformed(f"it is longer than {MAX_HEADER_BYTES:,} bytes")
        if end > len(self._data):
            raise CutShort(end)
        self.position = end

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        start = self.position
        self.skip(length)
        return self._data[start : self.position]

    def number(self, letter: str) -> int | float:
        """Return the next number, of the type that `struct` calls `letter`."""
        found: int | float = self.numbers(_LAYOUTS[letter])[0]
        return found

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return the next numbers, as many and of the types that `layout` names."""
        start = self.position
        self.skip(layout.size)
        return layout.unpack_from(self._data, start)

    def text(self, longest: int, what: str) -> str:
        """Return the next text, of at most `longest` bytes."""
        length = int(self.number("Q"))
        if length > longest:
            raise Malformed(f"{what} has {length:,} bytes, more than {longest:,}")
        return _decoded(self.take(length), what)

    def skip_texts(self, count: int) -> None:
        """Pass over `count` texts."""
        self._texts += count
        if self._texts > MAX_LISTED_TEXTS:
            raise Malformed(f"its metadata lists more than {MAX_LISTED_TEXTS:,} texts")
        data, position, length_at = self._data, self.position, _LAYOUTS["Q"].unpack_from
        width = _LAYOUTS["Q"].size
        last = len(data) - width
        for _ in range(count):
            if position > last:
                break
            position += width + length_at(data, position)[0]
        else:
            self.skip(position - self.position)
            return
        self.skip(position + width - self.position)
