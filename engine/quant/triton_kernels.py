"""Our own int8 product for CUDA cards: two kernels instead of seven passes over memory.

Needs the triton package, which not every PyTorch comes with; imported only where it is there.
Shapes in the kernels: tokens [M, K], weight [N, K], out [M, N], all with rows one after another.
"""

from __future__ import annotations

import logging
import time
from typing import Final, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.model.attempt import attempt

_log = logging.getLogger(__name__)


class Tile(NamedTuple):
    """Rows, columns and depth that a program multiplies at a time, and how many share the work."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


_TILES: Final = (
    Tile(128, 128, 64, 8, 3),
    Tile(128, 128, 128, 8, 3),
    Tile(128, 256, 64, 8, 3),
    Tile(128, 256, 128, 8, 3),
    Tile(128, 256, 128, 8, 4),
    Tile(128, 128, 128, 4, 4),
)
"""The first one fits into every card with tensor cores; the others are tried."""

_GROUP: Final = 8
"""So many rows of tiles share the weights that lie in the cache."""

_TRIAL: Final = (2048, 4096, 4096)
_TRIALS: Final = 4


@triton.jit  # type: ignore[untyped-decorator]
def round_row(
    numbers: tl.tensor, places: tl.tensor, inside: tl.tensor, scale_place: tl.tensor
) -> None:
    """Store one row of float32 numbers, zero where not `inside`, as int8 with its scale."""
    largest = tl.max(tl.abs(numbers), axis=0)
    steps = numbers * (127.0 / tl.maximum(largest, 1e-30))
    # Cut off after adding a half, away from zero on both sides: the nearest whole number.
    nearest = tl.where(steps < 0, steps - 0.5, steps + 0.5).to(tl.int8)
    tl.store(places, nearest, mask=inside)
    # A maximum passes over NaN, a sum does not: what is not finite must not look finite.
    spoilt = tl.sum(numbers, axis=0) * 0.0
    tl.store(scale_place, largest / 127.0 + spoilt)


@triton.jit  # type: ignore[untyped-decorator]
def _quantise(
    x: tl.tensor, values: tl.tensor, scales: tl.tensor, width: tl.tensor, block: tl.constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, block)
    inside = columns < width
    numbers = tl.load(x + row * width + columns, mask=inside, other=0.0).to(tl.float32)
    round_row(numbers, values + row * width + columns, inside, scales + row)


@triton.jit  # type: ignore[untyped-decorator]
def _multiply(
    factors: tl.tuple,
    scales: tl.tuple,
    out: tl.tensor,
    sides: tl.tuple,
    tile: tl.constexpr,
    depth: tl.constexpr,
) -> None:
    tokens, weight = factors[0], factors[1]
    token_scales, row_scales = scales[0], scales[1]
    height, width, stride, group = sides[0], sides[1], sides[2], sides[3]
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
    a_places = tokens + tl.minimum(rows, height - 1).to(tl.int64)[:, None] * stride + inner[None, :]
    b_places = (
        weight + tl.minimum(columns, width - 1).to(tl.int64)[None, :] * depth + inner[:, None]
    )
    sums = tl.zeros((tile[0], tile[1]), dtype=tl.int32)
    for start in range(0, depth, tile[2]):
        if depth % tile[2] == 0:
            a = tl.load(a_places + start)
            b = tl.load(b_places + start)
        else:
            left = start + inner < depth
            a = tl.load(a_places + start, mask=left[None, :], other=0)
            b = tl.load(b_places + start, mask=left[:, None], other=0)
        sums = tl.dot(a, b, acc=sums, out_dtype=tl.int32)
    is_row, is_column = rows < height, columns < width
    by_token = tl.load(token_scales + rows, mask=is_row, other=0.0)
    by_row = tl.load(row_scales + columns, mask=is_column, other=0.0)
    results = sums.to(tl.float32) * by_token[:, None] * by_row[None, :]
    places = out + rows.to(tl.int64)[:, None] * width + columns[None, :]
    tl.store(places, results.to(out.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


class Fused:
    """The product in two kernels: round tokens, then multiply, scale and cast."""

    def __init__(self, tile: Tile = _TILES[0]) -> None:
        self.tile = tile

    def prepare(self, values: Tensor) -> Tensor:
        """Lay out `values`, int8 [N, K], row after row."""
        return values.contiguous()

    def restore(self, prepared: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return `prepared`, int8 [N, K], as it is."""
        return prepared.reshape(shape)

    def multiply(self, x: Tensor, prepared: Tensor, scales: Tensor) -> Tensor:
        """Return x · weightᵀ, [T, N] in the type of `x` [T, K]; `scales` float32 [N]."""
        values, token_scales = self.quantise(x)
        out = torch.empty(len(x), len(prepared), dtype=x.dtype, device=x.device)
        self.product((values, token_scales), (prepared, scales), out)
        return out

    def quantise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Round tokens `x` [T, K] to int8 [T, K] and one scale each, float32 [T]."""
        x = x.contiguous()
        count, depth = x.shape
        values = torch.empty(x.shape, dtype=torch.int8, device=x.device)
        scales = torch.empty(count, device=x.device)
        block = triton.next_power_of_2(depth)
        # Triton launches on the current card, which need not be that of the tensors.
        with torch.cuda.device_of(x):
            _quantise[(count,)](x, values, scales, depth, block=block, num_warps=warps_for(block))
        return values, scales

    def product(
        self, tokens: tuple[Tensor, Tensor], weight: tuple[Tensor, Tensor], out: Tensor
    ) -> None:
        """Multiply rounded `tokens` by a rounded `weight` into `out`, [T, N].

        Both are int8 values, [T, K] and [N, K], with scales, float32 [T] and [N]; the rows of
        tokens may lie apart.
        """
        (values, token_scales), (prepared, scales) = tokens, weight
        (count, depth), width = values.shape, len(prepared)
        tiles = triton.cdiv(count, self.tile.rows) * triton.cdiv(width, self.tile.columns)
        with torch.cuda.device_of(values):
            _multiply[(tiles,)](
                (values, prepared),
                (token_scales, scales),
                out,
                (count, width, values.stride(0), _GROUP),
                tile=tuple(self.tile[:3]),
                depth=depth,
                num_warps=self.tile.warps,
                num_stages=self.tile.stages,
            )


def warps_for(block: int) -> int:
    """Return how many warps share a row of `block` numbers: some dozens of numbers a thread."""
    return 4 if block <= 2048 else 8 if block <= 8192 else 16


def fused(device: torch.device) -> Fused:
    """Return the product with the tile that is fastest on `device`, after building and running it.

    Raises `RuntimeError` where that fails: on old cards, or without a C compiler.
    """
    product = Fused()
    weight = torch.ones(8, 32, dtype=torch.int8, device=device)
    tokens, scales = torch.ones(8, 32, device=device), torch.ones(8, device=device)
    attempt(lambda: product.multiply(tokens, weight, scales))
    if device.type != "cuda":
        return product
    times = {tile: _seconds(Fused(tile), device) for tile in _TILES}
    fastest = min(_TILES, key=times.__getitem__)
    _log.info("int8 products on %s in tiles of %s", device, fastest)
    return Fused(fastest)


def _seconds(product: Fused, device: torch.device) -> float:
    """Return how long a product of usual size takes, infinite for a tile that does not fit."""
    count, width, depth = _TRIAL
    tokens = torch.ones(count, depth, dtype=torch.int8, device=device)
    weight = torch.ones(width, depth, dtype=torch.int8, device=device)
    out = torch.empty(count, width, dtype=torch.float16, device=device)
    scales = torch.ones(max(count, width), device=device)

    def once() -> float:
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        product.product((tokens, scales), (weight, scales), out)
        torch.cuda.synchronize(device)
        return time.perf_counter() - began

    try:
        return min(attempt(once) for _ in range(_TRIALS))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _log.debug("a tile of %s does not fit: %s", product.tile, error)
        return float("inf")
