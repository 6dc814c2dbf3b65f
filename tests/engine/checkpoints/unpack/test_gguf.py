"""Blocks of every GGUF type unpack to what the format's own package makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, dequantize

from engine.checkpoints.formats.door import Stored
from engine.checkpoints.gguf import TYPES
from engine.checkpoints.unpack.gguf import unpack

PACKED = {block.name: block for block in TYPES.values() if block.weights > 1}
SCALES_AT = {
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}  # fmt: skip
"""Where a block holds float16 numbers, which random bytes would make NaN."""


def random_blocks(name: str, count: int) -> np.ndarray:
    """Random bytes as blocks, uint8 [count, size], whose scales are usual numbers."""
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (count, PACKED[name].size), dtype=np.uint8)
    for place in SCALES_AT.get(name, []):
        scales = rng.normal(scale=0.1, size=(count, 1)).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8)
    return blocks


def unpacked(name: str, blocks: np.ndarray) -> np.ndarray:
    shape = (len(blocks), PACKED[name].weights)
    stored = Stored(shape=shape, kind=name, packing="gguf", tensors={"blocks": "w"})
    raw = {"blocks": torch.from_numpy(blocks.copy()).flatten()}
    return unpack(raw, stored).reshape(shape).numpy()


@pytest.mark.parametrize("name", SCALES_AT)
def test_a_common_type_unpacks_to_the_same_float32(name):
    blocks = random_blocks(name, 500)
    expected = dequantize(blocks, GGMLQuantizationType[name])
    assert np.isfinite(expected).all()
    assert len(np.unique(expected)) > 100
    np.testing.assert_array_equal(unpacked(name, blocks), expected)


@pytest.mark.parametrize("name", sorted(PACKED.keys() - SCALES_AT.keys()))
def test_a_rare_type_unpacks_to_the_same_float32(name):
    blocks = random_blocks(name, 50)
    with np.errstate(all="ignore"):
        expected = dequantize(blocks, GGMLQuantizationType[name])
    np.testing.assert_array_equal(unpacked(name, blocks), expected)


def test_a_matrix_of_many_blocks_unpacks_as_its_blocks_do():
    blocks = random_blocks("Q4_0", 200_000)
    whole = unpacked("Q4_0", blocks)
    for place in (0, 131_071, 131_072, 199_999):
        np.testing.assert_array_equal(whole[[place]], unpacked("Q4_0", blocks[[place]]))
