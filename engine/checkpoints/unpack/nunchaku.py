"""Matrices as Nunchaku stores SVDQuant: W = values * scales / smooth + up @ down.

Values, scales and the two factors lie in the order in which the lanes of a warp hand them to the
matrix units. Each function below undoes one such order. Rows come in tiles of 128 that follow one
another, so that whole tiles of rows can be cut out first.
References: Li et al., "SVDQuant", arXiv 2411.05007; PTX ISA, "Matrix fragments for mma.m16n8k64".
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.checkpoints.formats.door import PLAIN, Stored
from engine.checkpoints.formats.nunchaku import FP4_GROUP, INT4_GROUP, TILE
from engine.checkpoints.unpack.door import Raw
from engine.checkpoints.unpack.fp4 import fp4


def unpack(raw: Raw, stored: Stored) -> Tensor:
    """Return rows of a layer, float32 [stored.shape], from `stored.options["first_row"]` on."""
    first, (rows, columns) = stored.options["first_row"], stored.shape
    cut = slice(first, first + rows)
    tiles = slice(first // TILE, (first + rows) // TILE)
    codes = _codes(raw["qweight"].view(torch.uint8)[cut], columns)
    scales = raw["wscales"].reshape(-1, raw["wscales"].shape[0], TILE)[tiles]
    if raw["wscales"].dtype == torch.float8_e4m3fn:
        weight = _scaled(fp4(codes), _micro_scales(scales), FP4_GROUP)
        if "wtscale" in raw:
            weight *= raw["wtscale"].float()
        if "wcscales" in raw:
            weight *= _scales(raw["wcscales"].reshape(-1, 1, TILE)[tiles])
    else:
        weight = _scaled(_int4(codes), _scales(scales), INT4_GROUP)
    weight /= _scales(raw["smooth_factor"].reshape(-1, 1, TILE)).flatten()
    return weight.addmm_(_up(raw["proj_up"][cut]), _down(raw["proj_down"]))


def row_block(raw: Raw, stored: Stored) -> Tensor:
    """Return rows of a plain matrix, [stored.shape], from `stored.options["first_row"]` on."""
    first = stored.options["first_row"]
    return raw[PLAIN][first : first + stored.shape[0]]


def _codes(packed: Tensor, columns: int) -> Tensor:
    """Read the 4-bit numbers of bytes, uint8 [n, columns / 2], as uint8 [n, columns].

    A tile of 128 x 64 is 8 blocks of 16 rows. Lane 4 r + c of 32 holds, for rows r and r + 8 and
    for columns 8 c and 8 c + 32, eight numbers each, the lower half of a byte first.
    """
    numbers = torch.stack((packed & 15, packed >> 4), dim=-1)
    tiles = numbers.reshape(-1, columns // 64, 8, 8, 4, 2, 2, 8)
    return tiles.permute(0, 2, 5, 3, 1, 6, 4, 7).reshape(-1, columns)


def _int4(codes: Tensor) -> Tensor:
    """Read two's complement of 4 bits, uint8 [n, k], as float32."""
    return ((codes ^ 8).to(torch.int8) - 8).float()


def _scaled(values: Tensor, scales: Tensor, group: int) -> Tensor:
    """Multiply values [n, k] by one scale [n, k / group] for each group of a row."""
    scaled: Tensor = values.unflatten(1, (-1, group)) * scales[..., None]
    return scaled.flatten(1)


def _scales(packed: Tensor) -> Tensor:
    """Order scales [tiles, groups, 128] by row: float32 [128 tiles, groups].

    Lane 4 a + c holds the scales of the rows 2 c, 2 c + 1, 2 c + 8, 2 c + 9 of the block of 16
    rows a.
    """
    groups = packed.shape[1]
    lanes = packed.float().reshape(-1, groups, 8, 4, 2, 2)
    return lanes.permute(0, 2, 4, 3, 5, 1).reshape(-1, groups)


def _micro_scales(packed: Tensor) -> Tensor:
    """Order float8 scales [tiles, groups, 128] by row: float32 [128 tiles, groups].

    Lane 4 r + c holds, for rows 8 c + r + 0, 32, 64 and 96, four scales that follow in a row.
    """
    groups = packed.shape[1]
    lanes = packed.float().reshape(-1, groups // 4, 8, 4, 4, 4)
    return lanes.permute(0, 4, 3, 2, 1, 5).reshape(-1, groups)


def _up(packed: Tensor) -> Tensor:
    """Order the factor that widens, [n, r], by rows: float32 [n, r]."""
    rows, rank = packed.shape
    lanes = packed.float().reshape(rows // 16, rank // 16, 8, 4, 2, 2, 2)
    return lanes.permute(0, 4, 2, 1, 5, 3, 6).reshape(rows, rank)


def _down(packed: Tensor) -> Tensor:
    """Order the factor that narrows, [k, r], by ranks: float32 [r, k].

    Of either factor a tile of 16 x 16 lies together, and in it lane 4 r + c holds the columns 2 c,
    2 c + 1, 2 c + 8 and 2 c + 9 of the rows r and r + 8. This one's tiles have ranks as rows.
    """
    columns, rank = packed.shape
    lanes = packed.float().reshape(columns // 16, rank // 16, 8, 4, 2, 2, 2)
    return lanes.permute(1, 4, 2, 0, 5, 3, 6).reshape(rank, columns)
