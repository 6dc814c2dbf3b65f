"""Matrices of small numbers with one scale a row, or one for all of them."""

from __future__ import annotations

from torch import Tensor

from engine.checkpoints.formats.door import Stored
from engine.checkpoints.unpack.door import Int8Rows, Raw


def unpack(raw: Raw, _stored: Stored) -> Tensor:
    """Return `values` [N, K] times `scales` ([N], [N, 1] or one), float32 [N, K]."""
    return raw["values"].float() * raw["scales"].float().reshape(-1, 1)


def int8_rows(raw: Raw) -> Int8Rows:
    """Return int8 `values` [N, K] untouched, with `scales` as float32 [N]."""
    values = raw["values"]
    scales = raw["scales"].float().reshape(-1).expand(values.shape[0])
    return Int8Rows(values, scales.contiguous())
