"""Weights in ggml's blocks: numbers of a few bits, scaled block by block or by parts of a block.

Each function below takes blocks as bytes, uint8 [n, size], and returns float32 that reshapes to
[n, weights]. Layouts: ggml's `ggml-common.h`; the K types keep scales of 4 or 6 bits for parts of
a block, themselves scaled by one float16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from engine.checkpoints.formats.door import Stored
from engine.checkpoints.formats.gguf import BLOCKS
from engine.checkpoints.gguf import TYPES, BlockType
from engine.checkpoints.unpack.door import Raw

_WEIGHTS_AT_ONCE: Final = 2**22
"""Bounds the memory that intermediate values take."""

_SIZES: Final[Mapping[str, BlockType]] = MappingProxyType({b.name: b for b in TYPES.values()})


def unpack(raw: Raw, stored: Stored) -> Tensor:
    """Return the weights of `blocks` (uint8 [bytes]) in float32 [weights], on its device."""
    block = _SIZES[stored.kind]
    blocks = raw[BLOCKS].reshape(-1, block.size)
    values = torch.empty(len(blocks), block.weights, device=blocks.device)
    at_once = _WEIGHTS_AT_ONCE // block.weights
    for packed, part in zip(blocks.split(at_once), values.split(at_once), strict=True):
        part.copy_(_unpacked(stored.kind, packed).reshape(part.shape))
    return values.flatten()


def _unpacked(kind: str, blocks: Tensor) -> Tensor:
    return _LAYOUTS[kind](blocks) if kind in _LAYOUTS else _rare(kind, blocks)


def _rare(kind: str, blocks: Tensor) -> Tensor:
    """Unpack on the CPU what few files hold, with ggml's own package."""
    import numpy as np
    from gguf import GGMLQuantizationType, dequantize

    with np.errstate(invalid="ignore", over="ignore"):
        values = dequantize(blocks.cpu().numpy(), GGMLQuantizationType[kind])
    return torch.from_numpy(values).to(blocks.device)


def _half(two_bytes: Tensor) -> Tensor:
    """Read float16 numbers, uint8 [n, 2], as float32 [n, 1]."""
    return two_bytes.contiguous().view(torch.float16).float()


def _fields(packed: Tensor, bits: int) -> Tensor:
    """Cut bytes [n, m] into fields of `bits`, the lowest first: uint8 [n, 8 / bits, m]."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)
    return (packed[:, None, :] >> shifts[:, None]) & (255 >> (8 - bits))


def _fifth_bits(packed: Tensor) -> Tensor:
    """Read one bit a weight, uint8 [n, 4], as 0 or 16 in uint8 [n, 2, 16]."""
    return (_fields(packed, 1).mT << 4).reshape(-1, 2, 16)


def _q8_0(blocks: Tensor) -> Tensor:
    return _half(blocks[:, :2]) * blocks[:, 2:].view(torch.int8).float()


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks[:, :2]) * (_fields(blocks[:, 2:], 4).flatten(1).float() - 8)


def _q4_1(blocks: Tensor) -> Tensor:
    scale, least = _half(blocks[:, :2]), _half(blocks[:, 2:4])
    return scale * _fields(blocks[:, 4:], 4).flatten(1) + least


def _q5_0(blocks: Tensor) -> Tensor:
    values = _fields(blocks[:, 6:], 4) | _fifth_bits(blocks[:, 2:6])
    return _half(blocks[:, :2]) * (values.flatten(1).float() - 16)


def _q5_1(blocks: Tensor) -> Tensor:
    scale, least = _half(blocks[:, :2]), _half(blocks[:, 2:4])
    values = _fields(blocks[:, 8:], 4) | _fifth_bits(blocks[:, 4:8])
    return scale * values.flatten(1) + least


def _two_bits(packed: Tensor) -> Tensor:
    """Read the lower two bits of 256 weights, uint8 [n, 64], as uint8 [n, 16, 16]."""
    return _fields(packed.reshape(-1, 32), 2).reshape(-1, 16, 16)


def _q2_k(blocks: Tensor) -> Tensor:
    scales, values = blocks[:, :16], _two_bits(blocks[:, 16:80])
    scale = _half(blocks[:, 80:82]) * (scales & 15)
    least = _half(blocks[:, 82:84]) * (scales >> 4)
    return scale[..., None] * values - least[..., None]


def _q3_k(blocks: Tensor) -> Tensor:
    third_bits = _fields(blocks[:, :32], 1).reshape(-1, 16, 16)
    values = _two_bits(blocks[:, 32:96]) | (third_bits << 2)
    low, high = _fields(blocks[:, 96:104], 4), _fields(blocks[:, 104:108], 2)
    scales = low.flatten(1) | (high.flatten(1) << 4)
    scale = _half(blocks[:, 108:110]) * (scales.float() - 32)
    return scale[..., None] * (values.float() - 4)


def _scales_and_mins(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Read the scales and minima that Q4_K and Q5_K have for 8 parts of a block, float32 [n, 8, 1].

    Of 12 bytes the first 8 hold six bits each for the first four parts, with two bits to spare for
    the last four, whose other four bits are in the last 4 bytes.
    """
    first, second, last = blocks[:, 4:16].split(4, dim=1)
    scales = torch.cat((first & 63, (last & 15) | (first >> 6 << 4)), dim=1)
    mins = torch.cat((second & 63, (last >> 4) | (second >> 6 << 4)), dim=1)
    scale, least = _half(blocks[:, :2]) * scales, _half(blocks[:, 2:4]) * mins
    return scale[..., None], least[..., None]


def _four_bits(packed: Tensor) -> Tensor:
    """Read the lower four bits of 256 weights, uint8 [n, 128], as uint8 [n, 8, 32]."""
    return _fields(packed.reshape(-1, 32), 4).reshape(-1, 8, 32)


def _q4_k(blocks: Tensor) -> Tensor:
    scale, least = _scales_and_mins(blocks)
    return scale * _four_bits(blocks[:, 16:]) - least


def _q5_k(blocks: Tensor) -> Tensor:
    scale, least = _scales_and_mins(blocks)
    values = _four_bits(blocks[:, 48:]) | (_fields(blocks[:, 16:48], 1) << 4)
    return scale * values - least


def _q6_k(blocks: Tensor) -> Tensor:
    low = _fields(blocks[:, :128].reshape(-1, 64), 4).reshape(-1, 16, 16)
    values = low | (_two_bits(blocks[:, 128:192]) << 4)
    scale = _half(blocks[:, 208:210]) * blocks[:, 192:208].view(torch.int8)
    return scale[..., None] * (values.float() - 32)


_LAYOUTS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {
        "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1,
        "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
    }
)  # fmt: skip
