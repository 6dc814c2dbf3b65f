"""Matrices of small numbers with one scale a row, or one for all of them."""

from __future__ import annotations

import torch
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

    Every group of 4^n columns was multiplied by the regular Hadamard matrix before it was
    quantised; the matrix is its own inverse. Huang et al. 2025, "ConvRot" (arXiv:2512.03673).
    """
    values, group = raw["values"], stored.options["group"]
    # Small integers and powers of two: the product is exact, even where a GPU rounds its factors.
    turned = values.float().reshape(-1, group) @ regular_hadamard(group, values.device)
    return turned.reshape(stored.shape) * raw["scales"].float().reshape(-1, 1)


def regular_hadamard(size: int, device: torch.device) -> Tensor:
    """Return the orthonormal Hadamard matrix of equal row sums, float32 [size, size], size 4^n."""
    step = torch.full((4, 4), 0.5, device=device) - torch.eye(4, device=device).flip(0)
    matrix = torch.ones(1, 1, device=device)
    while len(matrix) < size:
        matrix = torch.kron(matrix, step)
    return matrix


def int8_rows(raw: Raw, stored: Stored) -> Int8Rows:
    """Return int8 `values` [N, K] untouched, with `scales` as float32 [N].

    Raises `FileRejected` for scales that are NaN or infinite.
    """
    values = raw["values"]
    scales = finite(raw["scales"].float().reshape(-1), stored)
    scales = scales.expand(values.shape[0]).contiguous()
    return Int8Rows(values, scales, stored.options.get("group", 1))
