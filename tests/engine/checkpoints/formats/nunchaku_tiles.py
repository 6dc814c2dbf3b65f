"""Lays matrices out as Nunchaku does, one formula for the place of each number.

The formulas follow the published description of the layout: a warp of 32 lanes, each of which holds
what one matrix instruction wants of it (PTX ISA, fragments of mma.m16n8k64 and mma.m16n8k16).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def _laid(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Put each value at its place; every place is taken once."""
    flat, taken = np.zeros(values.size, values.dtype), np.zeros(values.size, bool)
    flat[places.ravel()], taken[places.ravel()] = values.ravel(), True
    assert taken.all()
    return flat


def _grid(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(shape)
    return rows, columns


def packed_codes(codes: np.ndarray) -> Tensor:
    """Pack 4-bit numbers [n, k]: int8 [n, k / 2]."""
    n, k = _grid(codes.shape)
    tile = n // 128 * (codes.shape[1] // 64) + k // 64
    lane = n % 8 * 4 + k % 32 // 8
    word = n % 16 // 8 * 2 + k % 64 // 32
    place = (((tile * 8 + n % 128 // 16) * 32 + lane) * 4 + word) * 8 + k % 8
    numbers = _laid(codes.astype(np.uint8) & 15, place)
    joined = (numbers[0::2] | numbers[1::2] << 4).view(np.int8)
    return torch.from_numpy(joined.reshape(codes.shape[0], -1).copy())


def packed_scales(scales: Tensor) -> Tensor:
    """Lay out 16-bit scales [n, groups]: [groups, n]."""
    n, group = _grid(tuple(scales.shape))
    groups = scales.shape[1]
    tile = n // 128 * groups + group
    place = tile * 128 + n % 128 // 16 * 16 + n % 8 // 2 * 4 + n % 16 // 8 * 2 + n % 2
    laid = _laid(scales.float().numpy(), place)
    return torch.from_numpy(laid).to(scales.dtype).reshape(groups, -1)


def packed_micro_scales(scales: Tensor) -> Tensor:
    """Lay out float8 scales [n, groups]: [groups, n]."""
    n, group = _grid(tuple(scales.shape))
    groups = scales.shape[1]
    tile = n // 128 * (groups // 4) + group // 4
    place = tile * 512 + (n % 8 * 4 + n % 32 // 8) * 16 + n % 128 // 32 * 4 + group % 4
    laid = _laid(scales.float().numpy(), place)
    return torch.from_numpy(laid).to(scales.dtype).reshape(groups, -1)


def _in_tile(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return (i % 8 * 4 + j % 8 // 2) * 8 + i // 8 * 4 + j // 8 * 2 + j % 2


def packed_up(up: Tensor) -> Tensor:
    """Lay out the factor that widens, [n, r]: [n, r]."""
    n, r = _grid(tuple(up.shape))
    tile = n // 16 * (up.shape[1] // 16) + r // 16
    laid = _laid(up.float().numpy(), tile * 256 + _in_tile(n % 16, r % 16))
    return torch.from_numpy(laid).to(up.dtype).reshape(up.shape)


def packed_down(down: Tensor) -> Tensor:
    """Lay out the factor that narrows, [r, k]: [k, r]."""
    r, k = _grid(tuple(down.shape))
    tile = k // 16 * (down.shape[0] // 16) + r // 16
    laid = _laid(down.float().numpy(), tile * 256 + _in_tile(r % 16, k % 16))
    return torch.from_numpy(laid).to(down.dtype).reshape(down.shape[::-1])


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def random_layer(
    rows: int, columns: int, *, fp4: bool = False, rank: int = 16, seed: int = 0
) -> tuple[dict[str, Tensor], Tensor]:
    """A layer of random numbers: its tensors by ending, and the float32 matrix it stands for."""
    rng = np.random.default_rng(seed)
    group = 16 if fp4 else 64

    def positive(*shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(0.05, 0.2, shape)).to(torch.bfloat16)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(scale=0.1, size=shape)).to(torch.bfloat16)

    up, down = normal(rows, rank), normal(rank, columns)
    smooth, scales = positive(columns) * 8, positive(rows, columns // group)
    codes = rng.integers(0, 16, (rows, columns)) if fp4 else rng.integers(-8, 8, (rows, columns))
    tensors = {
        "qweight": packed_codes(codes),
        "smooth_factor": packed_scales(smooth[:, None]).flatten(),
        "smooth_factor_orig": smooth,
        "proj_down": packed_down(down),
        "proj_up": packed_up(up),
    }
    if fp4:
        scales, by_row, of_all = scales.to(torch.float8_e4m3fn), positive(rows), positive()
        tensors |= {
            "wscales": packed_micro_scales(scales),
            "wcscales": packed_scales(by_row[:, None]).flatten(),
            "wtscale": of_all,
        }
        outer = by_row.float()[:, None] * of_all.float()
        values = torch.from_numpy(E2M1[codes]) * outer
    else:
        tensors["wscales"] = packed_scales(scales)
        values = torch.from_numpy(codes.astype(np.float32))
    weight = values * scales.float().repeat_interleave(group, dim=1)
    return tensors, weight / smooth.float() + up.float() @ down.float()
