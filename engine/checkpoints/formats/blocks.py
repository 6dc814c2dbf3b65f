"""Matrices of small floating-point numbers with one scale for each block of a row.

NVFP4: `X.weight` holds two four-bit numbers a byte, `X.weight_scale` a float8 for every 16 of them.
MXFP8: `X.weight` holds float8 numbers, `X.weight_scale` a power of two for every 32 of them.
The scales are padded to whole tiles, as block-scaled matrix products want them.

Two conventions of NVFP4 are known: ComfyUI's puts the first number of a pair into the high half of
its byte and has `X.weight_scale_2` for the whole; LightX2V's puts it into the low half, and has
`X.alpha` and `X.input_global_scale` for the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from engine.checkpoints.formats.door import Claim, Stored
from engine.checkpoints.formats.rows import rejected
from engine.checkpoints.header import FLOATS, Header

TILE_ROWS: Final = 128
TILE_BLOCKS: Final = 4
NVFP4_BLOCK: Final = 16
MXFP8_BLOCK: Final = 32
NVFP4: Final = "nvfp4"
MXFP8: Final = "mxfp8"
_GLOBAL_SCALE: Final = ".input_global_scale"


def claim(header: Header) -> Claim:
    """Find LightX2V's weights; raise `FileRejected` for scales that misfit."""
    weights, used = {}, set[str]()
    for marker in (name for name in header.tensors if name.endswith(_GLOBAL_SCALE)):
        module = marker.removesuffix(_GLOBAL_SCALE)
        whole = {"scale": f"{module}.alpha", "input_scale": marker}
        found = nvfp4(header, module, whole, low_first=True)
        weights[f"{module}.weight"] = found
        used |= set(found.tensors.values())
    return Claim(weights=weights, used=frozenset(used))


def nvfp4(header: Header, module: str, whole: Mapping[str, str], *, low_first: bool) -> Stored:
    """Describe a weight of four-bit numbers [N, K], `whole` naming the scales of all of them.

    Raises `FileRejected` for number types and shapes that misfit.
    """
    tensors = {**_tensors(module), **whole}
    rows, half = _matrix(header, module, ("U8",))
    _check_tiles(header, module, ("F8_E4M3",), (rows, 2 * half, NVFP4_BLOCK))
    for name in whole.values():
        entry = header.tensors.get(name)
        if entry is None or entry.dtype not in FLOATS or math.prod(entry.shape) != 1:
            raise rejected(header, f"{module}.weight", f"lacks the number {name!r}")
    return Stored(
        shape=(rows, 2 * half),
        kind=NVFP4,
        packing=NVFP4,
        tensors=tensors,
        options={"low_first": int(low_first)},
    )


def mxfp8(header: Header, module: str) -> Stored:
    """Describe a weight of float8 numbers [N, K]; raise `FileRejected` as `nvfp4` does."""
    rows, columns = _matrix(header, module, ("F8_E4M3", "F8_E5M2"))
    _check_tiles(header, module, ("F8_E8M0", "U8"), (rows, columns, MXFP8_BLOCK))
    return Stored(shape=(rows, columns), kind=MXFP8, packing=MXFP8, tensors=_tensors(module))


def _tensors(module: str) -> dict[str, str]:
    return {"values": f"{module}.weight", "block_scales": f"{module}.weight_scale"}


def _matrix(header: Header, module: str, dtypes: tuple[str, ...]) -> tuple[int, int]:
    """Return the shape of the stored matrix."""
    name = f"{module}.weight"
    entry = header.tensors.get(name)
    if entry is None or entry.dtype not in dtypes or len(entry.shape) != 2:
        found = "is missing" if entry is None else f"is stored as {entry.dtype} {list(entry.shape)}"
        raise rejected(header, name, found)
    return entry.shape[0], entry.shape[1]


def _check_tiles(
    header: Header, module: str, dtypes: tuple[str, ...], blocks: tuple[int, int, int]
) -> None:
    """Demand one scale for each block of (rows, columns, length), padded to whole tiles."""
    rows, columns, length = blocks
    entry = header.tensors.get(f"{module}.weight_scale")
    expected = [padded(rows, TILE_ROWS), padded(columns // length, TILE_BLOCKS)]
    if (
        entry is None
        or columns % length
        or entry.dtype not in dtypes
        or math.prod(entry.shape) != math.prod(expected)
    ):
        found = "no weight_scale" if entry is None else f"{entry.dtype} {list(entry.shape)}"
        raise rejected(
            header,
            f"{module}.weight",
            f"has {found} where {rows} x {columns} numbers in blocks of {length} need {expected}",
        )


def padded(count: int, multiple: int) -> int:
    """Return the next multiple, or `count` if it is one."""
    return -(-count // multiple) * multiple
