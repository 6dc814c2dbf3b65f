"""Reads single tensors of safetensors and GGUF files into memory of our own.

Files are read, never mapped: a mapped file that is cut short while open kills the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import BinaryIO, Final

import torch
from torch import Tensor

from engine.checkpoints.files import label, opened
from engine.checkpoints.header import Header, TensorEntry, stamp_of
from engine.errors import FileRejected

TORCH_TYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {
        "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
        "F8_E8M0": torch.float8_e8m0fnu,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
        "U16": torch.uint16, "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
        "U32": torch.uint32, "I32": torch.int32, "F32": torch.float32,
        "U64": torch.uint64, "I64": torch.int64, "F64": torch.float64,
    }
)  # fmt: skip
"""The number types of headers as torch knows them."""


class TensorFile:
    """The tensors of one or more open files, which share no name."""

    def __init__(self, headers: Sequence[Header], files: Sequence[BinaryIO]) -> None:
        self._places = {
            name: (header, file)
            for header, file in zip(headers, files, strict=True)
            for name in header.tensors
        }

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor, by its name in the file."""
        return {name: found.tensors[name].shape for name, (found, _) in self._places.items()}

    def read(self, name: str) -> Tensor:
        """Return a tensor as stored, on the CPU, in memory of its own.

        What GGUF packs in blocks comes as its bytes, uint8 [bytes].
        """
        header, file = self._places[name]
        entry = header.tensors[name]
        raw = torch.empty(entry.end - entry.start, dtype=torch.uint8)
        _fill(raw, file, entry, header)
        if entry.dtype not in TORCH_TYPES:
            return raw
        return raw.view(TORCH_TYPES[entry.dtype]).reshape(entry.shape)


@contextmanager
def open_tensors(headers: Sequence[Header]) -> Iterator[TensorFile]:
    """Open the files of `headers`; raise `FileRejected` if one changed since, or meanwhile."""
    with ExitStack() as stack:
        files = [stack.enter_context(opened(header.path)) for header in headers]
        _check_unchanged(headers, files)
        yield TensorFile(headers, files)
        _check_unchanged(headers, files)


def _check_unchanged(headers: Sequence[Header], files: Sequence[BinaryIO]) -> None:
    for header, file in zip(headers, files, strict=True):
        if stamp_of(file) != header.stamp:
            raise FileRejected(
                f"{label(header.path)} was changed while it was being loaded.",
                "Wait until it is complete, and try again.",
            )


def _fill(raw: Tensor, file: BinaryIO, entry: TensorEntry, header: Header) -> None:
    """Fill `raw`, [bytes] uint8, with the bytes of an entry."""
    target = memoryview(raw.numpy())  # type: ignore[arg-type]
    file.seek(entry.start)
    done = 0
    while done < len(target):
        # One read call moves at most 2 GB on some systems.
        count = file.readinto(target[done : done + 2**30])  # type: ignore[attr-defined]
        if not count:
            raise FileRejected(
                f"{label(header.path)} is incomplete: {entry.start + done:,} of "
                f"{header.size:,} bytes; it was cut short while being read.",
                "Download it again.",
            )
        done += count
