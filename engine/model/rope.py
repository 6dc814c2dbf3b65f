"""Rotary position embedding over three axes: sequence position, row, column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rotation:
    """Angles of every token as `cos` and `sin`, each [G, T, 1, head_dim/2] float32."""

    cos: Tensor
    sin: Tensor

    def to(self, device: torch.device) -> Rotation:
        """Return the same angles, `cos` and `sin` [G, T, 1, head_dim/2], on `device`."""
        return Rotation(self.cos.to(device), self.sin.to(device))


def caption_positions(length: int) -> Tensor:
    """Return the positions of a caption's tokens, [length, 3] int64: (1..length, 0, 0).

    Padding tokens keep counting, so an image that follows starts at `length + 1`.
    """
    positions = torch.zeros(length, 3, dtype=torch.int64)
    positions[:, 0] = torch.arange(1, length + 1)
    return positions


def image_positions(start: int, rows: int, columns: int, pads: int = 0) -> Tensor:
    """Return the positions of an image's tokens, [rows*columns + pads, 3] int64.

    Every token of one image has the sequence position `start`; padding tokens stand at (0, 0, 0).
    """
    grid = torch.zeros(rows, columns, 3, dtype=torch.int64)
    grid[..., 0] = start
    grid[..., 1] = torch.arange(rows)[:, None]
    grid[..., 2] = torch.arange(columns)[None, :]
    return torch.cat([grid.reshape(-1, 3), torch.zeros(pads, 3, dtype=torch.int64)])


def rotation(positions: Tensor, axes_dims: Sequence[int], theta: float) -> Rotation:
    """Return the angles of tokens at `positions`, [G, T, 3] integers.

    Each axis owns `axes_dims[i]` channels of a head; frequencies are formed in float64 and the
    angle is rounded once to float32, as the reference implementation does (RoFormer,
    arXiv 2104.09864).
    """
    angles = []
    for axis, width in enumerate(axes_dims):
        exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
        frequency = theta**-exponent
        angles.append((positions[..., axis, None].double() * frequency).float())
    angle = torch.cat(angles, dim=-1).unsqueeze(-2)
    return Rotation(angle.cos(), angle.sin())


def rotate(x: Tensor, angles: Rotation) -> Tensor:
    """Rotate neighbouring channel pairs of `x`, [G, T, heads, head_dim], by their angles.

    Computed in float32 and cast back: in bfloat16 high positions would lose their phase.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling() or x.device.type == "mps":
        turned = _turned_in_parts(pairs, angles)
    else:
        turn = torch.complex(angles.cos, angles.sin)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * turn)
    return turned.flatten(-2).to(x.dtype)


def _turned_in_parts(pairs: Tensor, angles: Rotation) -> Tensor:
    """Rotate pairs [..., 2] without complex numbers, which the compiler cannot fuse."""
    first, second = pairs.unbind(-1)
    cos, sin = angles.cos, angles.sin
    return torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1)
