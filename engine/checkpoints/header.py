"""Reads the header of a safetensors or GGUF file, with limits, before anything else sees the file.

Safetensors: 8 bytes of length (little endian), that many bytes of JSON, then the tensors' bytes.
What a file is gets decided by its content, never by its name.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from engine import strict_json
from engine.checkpoints import gguf
from engine.checkpoints.entry import (
    MAX_DIMENSION,
    MAX_METADATA_ENTRIES,
    MAX_RANK,
    Contents,
    Malformed,
    check_name,
)
from engine.checkpoints.entry import MAX_TENSORS as MAX_TENSORS
from engine.checkpoints.entry import TensorEntry as TensorEntry
from engine.checkpoints.files import count_values, label, opened
from engine.errors import FileRejected

MAX_HEADER_BYTES: Final = 8_000_000
MAX_WIDE_BYTES: Final = 4_000_000
"""Limit for headers with text beyond ASCII, which takes up to four bytes a character in memory."""

_MAX_VALUES: Final = MAX_TENSORS * (MAX_RANK + 8)
_MAX_COLONS: Final = 4 * MAX_TENSORS + 10_000
"""Four names an entry, and some room for the metadata: counted before anything is parsed."""

_LENGTH_BYTES: Final = 8
_AGAIN: Final = "Download it again."
_READ: Final = "Only safetensors and GGUF files are read."

DTYPE_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
        "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
        "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
        "U32": 4, "I32": 4, "F32": 4,
        "U64": 8, "I64": 8, "F64": 8,
    }
)  # fmt: skip
"""Number types of the format that fill whole bytes, with their size."""

FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
"""Number types that plain weights come in; all others belong to quantised formats."""

_SIGNATURES: Final = (
    (0, b"PK\x03\x04", "a zip archive, as PyTorch's own checkpoints are"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a rar archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (0, b"<", "a web page, not the file itself"),
    *((0, bytes((0x80, protocol)), "a Python pickle, which can run code") for protocol in range(6)),
)
_SIGNATURE_BYTES: Final = 512
_OLD_PICKLE_STARTS: Final = frozenset(bytes([byte]) for byte in b"(c]}dlINFSVUXKJMLG)")
"""First bytes of a pickle of protocol 0 or 1; it then ends with a full stop."""


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header.

    size: bytes of the whole file. digest: SHA-256 of the header. stamp: changes with the file.
    known: bytes of the file beyond the header that were read already, by start and end.
    """

    path: Path
    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    size: int
    digest: str
    stamp: tuple[int, int, int]
    known: dict[tuple[int, int], bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def first_byte(self) -> int:
        """Where the tensors' bytes begin; the end of a file without any."""
        return min((tensor.start for tensor in self.tensors.values()), default=self.size)


def read_header(path: Path) -> Header:
    """Read and check a file's header; raise `NotFound`, or `FileRejected` saying what it is."""
    with opened(path) as file:
        return header_of(file, path)


def excerpts(header: Header, places: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return a file's bytes from start to end of each place; each is read once a header.

    Raise `FileRejected` if the file changed since its header was read.
    """
    if not header.known.keys() >= set(places):
        with opened(header.path) as file:
            if stamp_of(file) != header.stamp:
                raise FileRejected(f"{label(header.path)} was changed meanwhile.", "Try again.")
            for start, end in places:
                file.seek(start)
                header.known[start, end] = file.read(end - start)
    return [header.known[place] for place in places]


def header_of(file: BinaryIO, path: Path, stamp: tuple[int, int, int] | None = None) -> Header:
    """Read and check the header of an open file, as `read_header`.

    stamp: that of the file, where only its beginning is open.
    """
    stamp = stamp_of(file) if stamp is None else stamp
    size = stamp[0]
    length = file.read(_LENGTH_BYTES)
    is_gguf = length.startswith(gguf.MAGIC)
    raw = b"" if is_gguf else _read_raw(file, int.from_bytes(length, "little"), size, path)
    try:
        found = _of_gguf(file) if is_gguf else _of_safetensors(length, raw)
    except gguf.CutShort as error:
        raise _incomplete(path, size, f"at least {error.needed:,}") from None
    except (Malformed, FileRejected) as error:
        reason = str(error).rstrip(".")
        raise FileRejected(f"{label(path)} has a damaged header: {reason}.", _AGAIN) from None
    _check_size(path, size, found)
    tensors, metadata = MappingProxyType(found.tensors), MappingProxyType(found.metadata)
    return Header(path, tensors, metadata, size, found.digest, stamp)


def _of_gguf(file: BinaryIO) -> Contents:
    file.seek(0)
    return gguf.parse(file.read(gguf.MAX_HEADER_BYTES))


def _of_safetensors(length: bytes, raw: bytes) -> Contents:
    """Read a header of the announced `length`."""
    first_byte = len(length) + len(raw)
    _check_bulk(raw)
    entries = strict_json.parse(raw, "It", max_bytes=MAX_HEADER_BYTES, max_depth=3)
    if not isinstance(entries, dict):
        raise Malformed("it is no JSON object")
    metadata = _metadata(entries)
    tensors = _tensors(entries, first_byte)
    digest = hashlib.sha256(length + raw).hexdigest()
    end = max((tensor.end for tensor in tensors.values()), default=first_byte)
    return Contents(tensors, metadata, digest, end)


def stamp_of(file: BinaryIO) -> tuple[int, int, int]:
    """Return size, time of change and identity of an open file."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read_raw(file: BinaryIO, length: int, size: int, path: Path) -> bytes:
    """Read the JSON text; reject what cannot be a safetensors file, saying what it is."""
    first = file.read(1)
    if first in {b"{", b""} and 2 <= length <= MAX_HEADER_BYTES and size >= _LENGTH_BYTES:
        raw = first + file.read(length - 1)
        if len(raw) < length:
            raise _incomplete(path, size, f"at least {_LENGTH_BYTES + length:,}")
        return raw
    kind = _kind(file, size)
    if kind is not None:
        raise FileRejected(f"{label(path)} is {kind}.", _READ)
    if size <= _LENGTH_BYTES:
        raise _incomplete(path, size, f"at least {_LENGTH_BYTES + 2}")
    if first == b"{" and length > MAX_HEADER_BYTES:
        raise FileRejected(
            f"{label(path)} announces a header of {length:,} bytes, more than {MAX_HEADER_BYTES:,}."
        )
    raise FileRejected(f"{label(path)} is not a safetensors file, nor GGUF.", _READ)


def _kind(file: BinaryIO, size: int) -> str | None:
    """Say what a file is that is no safetensors file, if its first or last bytes tell."""
    file.seek(0)
    start = file.read(_SIGNATURE_BYTES)
    for offset, signature, kind in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return kind
    file.seek(max(0, size - 1))
    if start[:1] in _OLD_PICKLE_STARTS and file.read(1) == b".":
        return "a Python pickle, which can run code"
    return None


def _check_bulk(raw: bytes) -> None:
    """Refuse what would grow beyond measure when parsed."""
    if len(raw) > MAX_WIDE_BYTES and (not raw.isascii() or b"\\u" in raw):
        raise Malformed(f"it holds {len(raw):,} bytes of text beyond ASCII")
    values, colons = count_values(raw), raw.count(b":")
    if values > _MAX_VALUES or colons > _MAX_COLONS:
        raise Malformed(f"it holds {values:,} values under {colons:,} names, more than any model")


def _metadata(entries: dict[str, object]) -> dict[str, str]:
    """Take the free text out of the parsed header."""
    found = entries.pop("__metadata__", None)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise Malformed("its metadata is no table of texts")
    if len(found) > MAX_METADATA_ENTRIES:
        raise Malformed(f"its metadata has {len(found):,} entries")
    return found


def _tensors(entries: dict[str, object], first_byte: int) -> dict[str, TensorEntry]:
    """Check every entry, and that their bytes follow one another without hole or overlap."""
    if len(entries) > MAX_TENSORS:
        raise Malformed(f"it lists {len(entries):,} tensors, more than {MAX_TENSORS:,}")
    tensors = {name: _entry(name, value, first_byte) for name, value in entries.items()}
    position = first_byte
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != position:
            kind = "overlaps the one before" if tensor.start < position else "leaves a hole"
            raise Malformed(f"the tensor {name!r} {kind}")
        position = tensor.end
    return tensors


def _entry(name: str, value: object, first_byte: int) -> TensorEntry:
    check_name(name)
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"the entry of {name!r} lacks dtype, shape or data_offsets")
    dtype, shape = value["dtype"], value["shape"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise Malformed(f"the tensor {name!r} has the unknown dtype {dtype!r:.40}")
    _check_numbers(f"the shape of {name!r}", shape, MAX_RANK, MAX_DIMENSION)
    _check_numbers(f"the data_offsets of {name!r}", value["data_offsets"], 2, 2**60)
    if len(value["data_offsets"]) != 2:
        raise Malformed(f"the data_offsets of {name!r} are not two numbers")
    begin, end = value["data_offsets"]
    expected = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - begin != expected:
        raise Malformed(f"the tensor {name!r} has {end - begin} bytes where {expected} belong")
    return TensorEntry(dtype, tuple(shape), first_byte + begin, first_byte + end)


def _check_numbers(what: str, values: object, longest: int, highest: int) -> None:
    if not isinstance(values, list) or len(values) > longest:
        raise Malformed(f"{what} is no list of at most {longest} numbers")
    for value in values:
        if type(value) is not int or not 0 <= value <= highest:
            raise Malformed(f"{what} holds {value!r:.40}")


def _check_size(path: Path, size: int, found: Contents) -> None:
    if size < found.end:
        raise _incomplete(path, size, f"{found.end:,}")
    if size > found.end + found.padding:
        raise FileRejected(
            f"{label(path)} has {size:,} bytes, but its header accounts for {found.end:,}.", _AGAIN
        )


def _incomplete(path: Path, size: int, expected: str) -> FileRejected:
    return FileRejected(f"{label(path)} is incomplete: {size:,} of {expected} bytes.", _AGAIN)
