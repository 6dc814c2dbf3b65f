"""Writes a safetensors file tensor by tensor: the header first, then each at its place."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from engine.checkpoints.header import DTYPE_BYTES
from engine.checkpoints.tensors import TORCH_TYPES
from engine.errors import DiskError
from engine.storage import atomic_stream, sweep_temporary

_ALIGNMENT: Final = 8


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to be written: its name, its number type by the format's name, and its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


def write_tensors(
    path: Path,
    planned: Sequence[Planned],
    metadata: Mapping[str, str],
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Write a file of the `planned` tensors, taken one at a time from `tensors` [...].

    They may come in any order, and are cast to the number type they were planned with. The folder
    must exist; raises `DiskError`, at once if there is no room.
    """
    # The widest numbers first, so that each lies at a multiple of its size, as readers expect.
    ordered = sorted(planned, key=lambda tensor: (-DTYPE_BYTES[tensor.dtype], tensor.name))
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    places, position = {}, 0
    for plan in ordered:
        places[plan.name] = (plan, position)
        entries[plan.name] = {
            "dtype": plan.dtype,
            "shape": list(plan.shape),
            "data_offsets": [position, position + plan.size],
        }
        position += plan.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    header = len(text).to_bytes(_ALIGNMENT, "little") + text
    sweep_temporary(path.parent)
    _check_room(path, len(header) + position)
    with atomic_stream(path) as stream:
        stream.write(header)
        for name, tensor in tensors:
            plan, offset = places.pop(name)
            if tuple(tensor.shape) != plan.shape:
                raise TypeError(f"{name} has the shape {list(tensor.shape)}, not {plan.shape}")
            stream.seek(len(header) + offset)
            stream.write(_bytes(tensor.to(TORCH_TYPES[plan.dtype])))
        if places:
            raise TypeError(f"{len(places)} tensors were planned, but never came")


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.contiguous().flatten().view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise DiskError(
            f"{path.name} takes {size:,} bytes, but {path.parent} has only {free:,} free.",
            "Free some space, or choose another folder.",
        )
