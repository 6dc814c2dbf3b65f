"""Matrices of small numbers with one scale a row, or one for all of them."""

from __future__ import annotations

import math

from torch import Tensor

from engine.checkpoints.formats.door import PLAIN, Stored
from engine.checkpoints.unpack.door import Int8Rows, Raw, finite


def cast(raw: Raw, _stored: Stored) -> Tensor:
    """Return float8 numbers [stored.shape] as float32."""
    return raw[PLAIN].float()


def unpack(raw: Raw, _stored: Stored) -> Tensor:
    """Return `values` [N, K] times `scales` ([N], [N, 1] or one), float32 [N, K]."""
    return raw["values"].float() * raw["scales"].float().reshape(-1, 1)


def rotated(raw: Raw, stored: Stored) -> Tensor:
    """Return what `unpack` does, turned back: float32 [N, K], K a multiple of `options["group"]`.

    Every group of 4^n columns was multiplied by the orthonormal regular Hadamard matrix, the n-th
    Kronecker power of H4 / 2, where H4 is 1 but for -1 on the diagonal from below. It is its own
    inverse, and a product with H4 / 2 is half the sum minus the opposite number.
    Huang et al. 2025, "ConvRot" (arXiv:2512.03673).
    """
    weight = unpack(raw, stored)
    stages = round(math.log(stored.options["group"], 4))
    turned = weight.reshape(-1, *[4] * stages)
    for axis in range(1, stages + 1):
        turned = turned.sum(axis, keepdim=True) / 2 - turned.flip(axis)
    return turned.reshape(weight.shape)


def int8_rows(raw: Raw, stored: Stored) -> Int8Rows:
    """Return int8 `values` [N, K] untouched, with `scales` as float32 [N].

    Raises `FileRejected` for scales that are NaN or infinite.
    """
    values = raw["values"]
    scales = finite(raw["scales"].float().reshape(-1), stored)
    return Int8Rows(values, scales.expand(values.shape[0]).contiguous())
