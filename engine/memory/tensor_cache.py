"""Tensors that outlive their process: safetensors files, each checked before it is believed."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

from engine.cache import DiskCache
from engine.checkpoints.header import read_header
from engine.checkpoints.tensors import open_tensors
from engine.errors import FileRejected, UserError

PROMPTS: Final = "prompts"
"""Folder for features of prompts, inside the folder of caches."""

REFERENCES: Final = "references"
"""Folder for what networks make of input pictures, likewise."""

MAX_BYTES: Final = 256_000_000
KEPT_IN_MEMORY: Final = 32
ENDING: Final = ".safetensors"

_NAME: Final = "tensor"
_DIGEST: Final = "sha256"


def key_of(*facts: object) -> bytes:
    """Return the key of a tensor that follows from these JSON values, and from nothing else."""
    return json.dumps(facts, sort_keys=True).encode()


class TensorCache:
    """One tensor a key: the last few in memory as well, on the CPU."""

    def __init__(self, folder: Path, limit: int = MAX_BYTES) -> None:
        """Keep tensors in a folder; beyond `limit` bytes those used least recently go."""
        self._disk = DiskCache(folder, ENDING, limit)
        self._recent: OrderedDict[bytes, Tensor] = OrderedDict()

    def recall(self, key: bytes, shape: Sequence[int], dtype: torch.dtype) -> Tensor | None:
        """Return the tensor kept under a key, on the CPU; it is of this shape and number type.

        None if there is none. A file that is damaged, or holds something else, is removed.
        """
        known = self._recent.get(key)
        if known is not None:
            self._recent.move_to_end(key)
            return known
        path = self._disk.find(key)
        if path is None:
            return None
        try:
            found = _read(path)
            _check(found, shape, dtype)
        except UserError as error:
            self._disk.drop(key, error.message)
            return None
        self._remember(key, found)
        return found

    def keep(self, key: bytes, tensor: Tensor) -> None:
        """Keep a floating point tensor [...]; nothing fails where the folder is not writable."""
        own = tensor.detach().to("cpu", copy=True).contiguous()
        self._remember(key, own)
        self._disk.keep(key, save({_NAME: own}, metadata={_DIGEST: _digest(own)}))

    def _remember(self, key: bytes, tensor: Tensor) -> None:
        self._recent[key] = tensor
        self._recent.move_to_end(key)
        if len(self._recent) > KEPT_IN_MEMORY:
            self._recent.popitem(last=False)


def _read(path: Path) -> Tensor:
    """Return the tensor [...] in a file of the cache."""
    header = read_header(path)
    if list(header.tensors) != [_NAME]:
        raise FileRejected(f"{path.name} holds other tensors.")
    with open_tensors([header]) as source:
        tensor = source.read(_NAME)
    if header.metadata.get(_DIGEST) != _digest(tensor):
        raise FileRejected(f"{path.name} is not as it was written.")
    return tensor


def _check(tensor: Tensor, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raise `FileRejected` unless a tensor [...] is what belongs here."""
    if tensor.dtype is not dtype or tuple(tensor.shape) != tuple(shape):
        raise FileRejected(f"It holds {tensor.dtype} {list(tensor.shape)}.")
    if not tensor.isfinite().all():
        raise FileRejected("It holds numbers that are not finite.")


def _digest(tensor: Tensor) -> str:
    """Return the SHA-256 of the bytes of a contiguous tensor [...] on the CPU."""
    return hashlib.sha256(tensor.view(-1).view(torch.uint8).numpy().data).hexdigest()
