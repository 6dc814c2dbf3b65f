"""The door of every packing: a function from raw tensors to one weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from engine.checkpoints.formats.door import PLAIN, Stored
from engine.errors import FileRejected

Raw = Mapping[str, Tensor]
"""Tensors as they lie in the file, by their role in a weight, all on one device."""

Packing = Callable[[Raw, Stored], Tensor]
"""Makes a weight in floating point; what is scaled is computed in float32."""


@dataclass(frozen=True, slots=True)
class Int8Rows:
    """An int8 matrix: `values` int8 [N, K] times `scales` float32 [N], one a row.

    group: where more than 1, every group of so many columns was turned by the regular Hadamard
    matrix before it was rounded.
    """

    values: Tensor
    scales: Tensor
    group: int = 1


def plain(raw: Raw, _stored: Stored) -> Tensor:
    """Return the weight [stored.shape] as it is stored."""
    return raw[PLAIN]


def finite(numbers: Tensor, stored: Stored) -> Tensor:
    """Return `numbers` [...], float; raise `FileRejected` if any is NaN or infinite."""
    if numbers.numel():
        # Both carry a NaN through, and need no second tensor of this size.
        low, high = numbers.aminmax()
        if not (low.isfinite() & high.isfinite()):
            name = next(iter(stored.tensors.values()))
            raise FileRejected(
                f"The quantised weight in {name!r} is not finite: it holds NaN or infinity.",
                "Download it again, or use another file of this model.",
            )
    return numbers
