"""What a model's weights are to the memory: pieces that are visited in tours, and their bytes.

A piece is a module whose weights lie together in one slab. A tour visits its pieces in one order
every time. No weight is read here, and nothing imports torch: all of it follows from shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ALIGNMENT: Final = 256
"""Bytes; where every tensor of a slab begins, as kernels like it best."""


class Tour(StrEnum):
    """One way through a model, and how often a job goes it.

    READ: layers of the text encoder, per prompt. REFINE: blocks that refine a caption, per prompt.
    MODULATE: what turns times into modulation, per schedule. DENOISE: noise refiner and main
    layers, per evaluation. DECODE: the autoencoder's decoder, per picture.
    """

    READ = "read"
    REFINE = "refine"
    MODULATE = "modulate"
    DENOISE = "denoise"
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece: its module's path, its tour, the bytes of its slab, and what it computes.

    kind: `Precision` of most of its products. operations: multiplications and additions per token;
    in DECODE per pixel of the picture. mixing: those per token and token that it attends to.
    """

    name: str
    tour: Tour
    bytes: int
    kind: str = "bf16"
    operations: float = 0.0
    mixing: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A model in one precision.

    pieces: in the order of their visits, tour after tour. fixed_bytes: what never leaves the
    device. embedding_bytes: the text encoder's table, which stays in the computer's memory.
    idle_bytes: the autoencoder's encoder: on the device where every piece is, else not there.
    step_bytes: modulation of one time. token_bytes: one token of the transformer.
    """

    precision: str
    pieces: tuple[Piece, ...]
    fixed_bytes: int
    embedding_bytes: int
    idle_bytes: int = 0
    step_bytes: int = 0
    token_bytes: int = 0

    def tour(self, tour: Tour) -> tuple[Piece, ...]:
        """Return the pieces of one tour, in the order of their visits."""
        return tuple(piece for piece in self.pieces if piece.tour is tour)


def slab_bytes(tensors: Iterable[tuple[tuple[int, ...], int]]) -> int:
    """Return the bytes of a slab of tensors, each given as its shape and the bytes of a number."""
    return sum(aligned(math.prod(shape) * size) for shape, size in tensors)


def aligned(count: int) -> int:
    """Round bytes up to where the next tensor may begin."""
    return -(-count // ALIGNMENT) * ALIGNMENT
