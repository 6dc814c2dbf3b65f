"""Reads the weights of a model's files, whatever format they are stored in: one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from engine.checkpoints.formats import find_weights
from engine.checkpoints.formats.door import PLAIN, Stored
from engine.checkpoints.header import Header
from engine.checkpoints.tensors import TensorFile, open_tensors
from engine.checkpoints.unpack import unpack
from engine.checkpoints.unpack.door import Int8Rows, Raw
from engine.checkpoints.unpack.rows import int8_rows

CPU = torch.device("cpu")


class WeightFiles:
    """The weights of one or more open files, which share no name."""

    def __init__(self, weights: Mapping[str, Stored], tensors: TensorFile) -> None:
        self.weights = weights
        self._tensors = tensors

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight, by its name in the file."""
        return {name: weight.shape for name, weight in self.weights.items()}

    def read(self, name: str, device: torch.device = CPU) -> Tensor:
        """Return a weight in floating point, of its own shape.

        What is packed is unpacked on `device`: it is smaller on its way there, and a graphics card
        is faster at it. What is not stays on the CPU.
        """
        stored = self.weights[name]
        raw = self._raw(stored)
        if stored.packing != PLAIN:
            raw = {role: tensor.to(device) for role, tensor in raw.items()}
        return unpack(raw, stored)

    def read_int8(self, name: str) -> Int8Rows | None:
        """Return the integers and scales of an int8 weight [N, K]; None if it holds none by row."""
        stored = self.weights[name]
        return int8_rows(self._raw(stored), stored) if stored.keeps_int8 else None

    def int8_group(self, name: str) -> int | None:
        """Return how many columns of an int8 weight are turned together, 1 if none.

        None for a weight that holds no integers by row.
        """
        stored = self.weights[name]
        return stored.options.get("group", 1) if stored.keeps_int8 else None

    def _raw(self, stored: Stored) -> Raw:
        return {role: self._tensors.read(name) for role, name in stored.tensors.items()}


@contextmanager
def open_weights(
    headers: Sequence[Header], weights: Mapping[str, Stored] | None = None
) -> Iterator[WeightFiles]:
    """Open the files of `headers` to read `weights`, by default all that lie in them.

    Raises `FileRejected` if a file changed since its header was read, or meanwhile.
    """
    wanted = find_weights(headers) if weights is None else weights
    with open_tensors(headers) as tensors:
        yield WeightFiles(wanted, tensors)
