"""Builds safetensors files byte by byte, right and wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "I64": 8}


def entry(shape: Sequence[int] = (1,), start: int = 0, dtype: str = "F32") -> dict[str, Any]:
    """A right entry of one tensor that begins at `start`."""
    end = start + prod(shape) * SIZES[dtype]
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def entries(shapes: Mapping[str, Sequence[int]], dtype: str = "F32") -> dict[str, Any]:
    """Right entries of tensors that lie one after another."""
    found: dict[str, Any] = {}
    position = 0
    for name, shape in shapes.items():
        found[name] = entry(shape, position, dtype)
        position = found[name]["data_offsets"][1]
    return found


def packed(header: object, data: bytes = b"") -> bytes:
    """A file of this header (JSON values, or raw bytes) and these tensor bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def whole_file(shapes: Mapping[str, Sequence[int]], dtype: str = "F32") -> bytes:
    """A right file whose tensors hold zeros."""
    total = sum(prod(shape) for shape in shapes.values()) * SIZES[dtype]
    return packed(entries(shapes, dtype), bytes(total))
