"""The door of every checkpoint format: which tensors of a file make one weight, and how.

A format claims the tensors it knows, key by key, since one file may mix several. What no format
claims is plain floating point. Names stay those of the file's dialect. No weight is read here, and
nothing imports torch: the arithmetic lies in `engine.checkpoints.unpack`, under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.checkpoints.header import Header

PLAIN = "plain"
"""The packing of a weight that is stored as it is, and the role of its only tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One weight as a file stores it.

    shape: of the weight once unpacked. kind: what people call the number type, such as "bf16",
    "int8 (quanto)" or "Q4_K". packing: its name in `engine.checkpoints.unpack.PACKINGS`. tensors:
    names in the file, by role. options: numbers that the packing needs besides, by name.
    keeps_int8: whether integers by row can be taken as they are.
    """

    shape: tuple[int, ...]
    kind: str
    packing: str
    tensors: Mapping[str, str]
    options: Mapping[str, int] = field(default_factory=dict)
    keeps_int8: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a format found in a file: weights by name, and the names of all tensors it accounts for.

    `used` also holds what only accompanies the weights, such as markers and activation scales.
    """

    weights: Mapping[str, Stored]
    used: frozenset[str]


Format = Callable[[Header], Claim]
"""Finds what it knows in a checked header; raises `FileRejected` where that is malformed."""
