"""float8 weights without any scale: the numbers themselves, cast from a larger type."""

from __future__ import annotations

from engine.checkpoints.formats.door import PLAIN, Claim, Stored
from engine.checkpoints.formats.rows import FLOAT8
from engine.checkpoints.header import Header


def claim(header: Header) -> Claim:
    """Find all float8 tensors; formats with scales must have claimed theirs before."""
    weights = {
        name: Stored(shape=entry.shape, kind="fp8", packing="cast", tensors={PLAIN: name})
        for name, entry in header.tensors.items()
        if entry.dtype in FLOAT8
    }
    return Claim(weights=weights, used=frozenset(weights))
