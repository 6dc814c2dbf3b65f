"""Matrices of small numbers with one scale for each block of a row, or for each square.

The scales of blocks lie as NVIDIA's block-scaled matrix products read them: padded to whole tiles
of 128 rows by 4 blocks, a tile being 32 x 4 x 4 numbers. The number at (b, a, c) belongs to row
32 a + b of the tile and to its block c (cuBLAS documentation, "1D block scaling factors layout").
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.checkpoints.formats.blocks import (
    MXFP8_BLOCK,
    NVFP4_BLOCK,
    TILE_BLOCKS,
    TILE_ROWS,
    padded,
)
from engine.checkpoints.formats.door import Stored
from engine.checkpoints.unpack.door import Raw
from engine.checkpoints.unpack.fp4 import fp4


def nvfp4(raw: Raw, stored: Stored) -> Tensor:
    """Return float32 [N, K] of codes [N, K / 2] uint8, scaled per 16 numbers and as a whole.

    block_scales: float8, tiled. scale, and input_scale where there is one: single numbers.
    options["low_first"]: whether the low half of a byte comes first.
    """
    codes = raw["values"]
    halves = [codes >> 4, codes & 15]
    if stored.options["low_first"]:
        halves.reverse()
    numbers = fp4(torch.stack(halves, dim=-1)).reshape(stored.shape)
    scale = raw["scale"].float().reshape(())
    if "input_scale" in raw:
        scale = scale * raw["input_scale"].float().reshape(())
    return _scaled(numbers, raw["block_scales"].float() * scale, NVFP4_BLOCK)


def mxfp8(raw: Raw, stored: Stored) -> Tensor:
    """Return float32 [N, K] of float8 `values` with a power of two per 32 numbers.

    block_scales: exponents biased by 127, one byte each, tiled.
    """
    exponents = raw["block_scales"].view(torch.float8_e8m0fnu)
    return _scaled(raw["values"].float(), exponents.float(), MXFP8_BLOCK)


def squares(raw: Raw, stored: Stored) -> Tensor:
    """Return float32 [N, K] of `values` [N, K], scaled per square of options["side"] numbers.

    scales: [ceil(N / side), ceil(K / side)].
    """
    rows, columns = stored.shape
    side = stored.options["side"]
    by_column = raw["scales"].float().repeat_interleave(side, dim=1)[:, :columns]
    return raw["values"].float() * by_column.repeat_interleave(side, dim=0)[:rows]


def _scaled(numbers: Tensor, tiled: Tensor, length: int) -> Tensor:
    """Multiply [N, K] by the scales of its blocks of `length` numbers, which lie in tiles."""
    rows, blocks = numbers.shape[0], numbers.shape[1] // length
    tiles = tiled.reshape(-1, padded(blocks, TILE_BLOCKS) // TILE_BLOCKS, 32, 4, TILE_BLOCKS)
    scales = tiles.permute(0, 3, 2, 1, 4).reshape(padded(rows, TILE_ROWS), -1)[:rows, :blocks]
    return (numbers.reshape(rows, blocks, length) * scales.unsqueeze(-1)).reshape(rows, -1)
