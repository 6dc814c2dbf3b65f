"""Our own int8 product for CUDA cards: two kernels instead of seven passes over memory.

Needs the triton package, which not every PyTorch comes with; imported only where it is there.
Shapes in the kernels: tokens [M, K], weight [N, K], out [M, N], all with rows one after another.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE: Final = (128, 128, 64)
"""Rows, columns and depth that one program multiplies at a time."""

_GROUP: Final = 8
"""So many rows of tiles share the weights that lie in the cache."""


@triton.jit  # type: ignore[untyped-decorator]
def _quantise(
    x: tl.tensor, values: tl.tensor, scales: tl.tensor, width: tl.tensor, block: tl.constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    numbers = tl.load(x + row * width + columns, mask=inside, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(numbers), axis=0)
    steps = numbers * (127.0 / tl.maximum(largest, 1e-30))
    # Cut off after adding a half, away from zero on both sides: the nearest whole number.
    nearest = tl.where(steps < 0, steps - 0.5, steps + 0.5).to(tl.int8)
    tl.store(values + row * width + columns, nearest, mask=inside)
    # A maximum passes over NaN, a sum does not: what is not finite must not look finite.
    spoilt = tl.sum(numbers, axis=0) * 0.0
    tl.store(scales + row, largest / 127.0 + spoilt)


@triton.jit  # type: ignore[untyped-decorator]
def _multiply(
    factors: tl.tuple,
    scales: tl.tuple,
    out: tl.tensor,
    sides: tl.tuple,
    tile: tl.constexpr,
    group: tl.constexpr,
) -> None:
    tokens, weight = factors[0], factors[1]
    token_scales, row_scales = scales[0], scales[1]
    height, width, depth = sides[0], sides[1], sides[2]
    down = tl.cdiv(height, tile[0])
    across = tl.cdiv(width, tile[1])
    # Tiles in narrow columns of `group`, so that neighbours in time read the same weights.
    number = tl.program_id(0)
    first = number // (group * across) * group
    high = tl.minimum(down - first, group)
    tile_row = first + number % (group * across) % high
    tile_column = number % (group * across) // high
    rows = tile_row * tile[0] + tl.arange(0, tile[0])
    columns = tile_column * tile[1] + tl.arange(0, tile[1])
    inner = tl.arange(0, tile[2])
    # Rows beyond the end read the last one again; they are never stored.
    some_tokens = tokens + tl.minimum(rows, height - 1).to(tl.int64)[:, None] * depth
    some_weight = weight + tl.minimum(columns, width - 1).to(tl.int64)[None, :] * depth
    sums = tl.zeros((tile[0], tile[1]), dtype=tl.int32)
    for start in range(0, depth, tile[2]):
        left = start + inner < depth
        a = tl.load(some_tokens + (start + inner)[None, :], mask=left[None, :], other=0)
        b = tl.load(some_weight + (start + inner)[:, None], mask=left[:, None], other=0)
        sums = tl.dot(a, b, acc=sums, out_dtype=tl.int32)
    is_row, is_column = rows < height, columns < width
    by_token = tl.load(token_scales + rows, mask=is_row, other=0.0)
    by_row = tl.load(row_scales + columns, mask=is_column, other=0.0)
    results = sums.to(tl.float32) * by_token[:, None] * by_row[None, :]
    places = out + rows.to(tl.int64)[:, None] * width + columns[None, :]
    tl.store(places, results.to(out.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


class Fused:
    """The product in two kernels: round tokens, then multiply, scale and cast."""

    def prepare(self, values: Tensor) -> Tensor:
        """Lay out `values`, int8 [N, K], row after row."""
        return values.contiguous()

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return `prepared`, int8 [N, K], as it is."""
        return prepared.reshape(shape)

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N]."""
        x = x.contiguous()
        (count, depth), width = x.shape, len(prepared)
        values = torch.empty(x.shape, dtype=torch.int8, device=x.device)
        token_scales = torch.empty(count, device=x.device)
        _quantise[(count,)](x, values, token_scales, depth, block=triton.next_power_of_2(depth))
        out = torch.empty(count, width, dtype=x.dtype, device=x.device)
        tiles = triton.cdiv(count, _TILE[0]) * triton.cdiv(width, _TILE[1])
        _multiply[(tiles,)](
            (values, prepared),
            (token_scales, scales),
            out,
            (count, width, depth),
            tile=_TILE,
            group=_GROUP,
            num_warps=8,
            num_stages=3,
        )
        return out


def fused(device: torch.device) -> Fused:
    """Return the product, once its kernels were built and run on `device`.

    Raises `RuntimeError` where that fails: on old cards, or without a C compiler.
    """
    product = Fused()
    weight = torch.ones(8, 32, dtype=torch.int8, device=device)
    try:
        product.multiply(torch.ones(8, 32, device=device), weight, torch.ones(8, device=device))
    except Exception as error:
        # Triton, the compiler and the driver each fail in types of their own.
        raise RuntimeError(f"Triton: {error}") from error
    return product
