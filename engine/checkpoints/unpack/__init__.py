"""The arithmetic of checkpoint formats: tensors as they lie in a file, to weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from torch import Tensor

from engine.checkpoints.formats.blocks import MXFP8, NVFP4
from engine.checkpoints.formats.door import PLAIN, Stored
from engine.checkpoints.unpack import blocks, gguf, nunchaku, rows
from engine.checkpoints.unpack.door import Packing, Raw, finite, plain

PACKINGS: Final[Mapping[str, Packing]] = MappingProxyType(
    {
        PLAIN: plain,
        "cast": rows.cast,
        "rows": rows.unpack,
        "rotated": rows.rotated,
        "squares": blocks.squares,
        NVFP4: blocks.nvfp4,
        MXFP8: blocks.mxfp8,
        "gguf": gguf.unpack,
        "nunchaku": nunchaku.unpack,
        "row block": nunchaku.row_block,
    }
)
"""Every packing, by the name that `Stored.packing` gives it."""


def unpack(raw: Raw, stored: Stored) -> Tensor:
    """Return a weight [stored.shape] in floating point, from its tensors as they lie in the file.

    Raises `FileRejected` where something quantised yields NaN or infinity.
    """
    weight = PACKINGS[stored.packing](raw, stored).reshape(stored.shape)
    return weight if stored.packing == PLAIN else finite(weight, stored)
