"""Packed weights are unpacked where their tensors lie.

A graphics card is stood in for by PyTorch's meta device, which computes shapes without numbers and
does not mix with the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.formats.door import PLAIN, Stored
from engine.checkpoints.header import read_header
from engine.checkpoints.unpack import PACKINGS
from engine.checkpoints.unpack.door import Raw
from engine.checkpoints.weights import open_weights
from tests.engine.checkpoints.formats.gguf_files import write_gguf
from tests.engine.checkpoints.formats.nunchaku_tiles import random_layer
from tests.engine.checkpoints.formats.writers import WRITERS, file_of

BLOCKS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
"""GGUF's types that have arithmetic of our own; the others go through the CPU."""


def stored_weights(path) -> Iterator[tuple[Stored, Raw]]:
    """Yield each packed weight of a file with its tensors."""
    with open_weights([read_header(path)]) as source:
        for stored in source.weights.values():
            if stored.packing != PLAIN:
                yield stored, source._raw(stored)


def unpacked_on(device: str, stored: Stored, raw: Raw) -> str:
    """Unpack stand-ins of a weight's tensors that lie on a device; return where it is then."""
    there = {role: tensor.to(device) for role, tensor in raw.items()}
    return PACKINGS[stored.packing](there, stored).device.type


def matrix() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(256, 512)).astype(np.float32)


@pytest.mark.parametrize("name", WRITERS)
def test_a_quantised_weight_is_unpacked_where_it_lies(name, tmp_path):
    path = file_of({"a": WRITERS[name]("a", matrix())}, tmp_path / "w.safetensors")
    found = [unpacked_on("meta", stored, raw) for stored, raw in stored_weights(path)]
    assert found == ["meta"]


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_of_gguf_are_unpacked_where_they_lie(kind, tmp_path):
    path = tmp_path / "w.gguf"
    write_gguf(path, "x", {"a.weight": torch.from_numpy(matrix()[:8])}, lambda _: kind)
    ((stored, raw),) = stored_weights(path)
    assert stored.kind == kind
    assert unpacked_on("meta", stored, raw) == "meta"


@pytest.mark.parametrize("fp4", [False, True])
def test_tiles_of_nunchaku_are_unpacked_where_they_lie(fp4, tmp_path):
    tensors, _ = random_layer(128, 128, fp4=fp4)
    stem = "layers.0.attention.to_out.0"
    path = tmp_path / "w.safetensors"
    save_file({f"{stem}.{ending}": t.contiguous() for ending, t in tensors.items()}, path)
    found = [unpacked_on("meta", stored, raw) for stored, raw in stored_weights(path)]
    assert found == ["meta"]


def test_mixing_devices_would_be_seen():
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(2, device="meta") * torch.empty(2)
