"""float8 weights with scales, by ComfyUI's first convention: `X.scale_weight` beside `X.weight`.

A tensor `scaled_fp8` of no or two numbers marks such files; `X.scale_input` belongs to quantised
activations and is not needed.
"""

from __future__ import annotations

import math
from typing import Final

from engine.checkpoints.formats.door import Claim
from engine.checkpoints.formats.rows import FLOAT8, by_rows
from engine.checkpoints.header import Header

SCALE: Final = ".scale_weight"
MARKER: Final = "scaled_fp8"
KINDS: Final = dict.fromkeys(FLOAT8, "fp8 (scaled)")
_LONGEST_MARKER: Final = 2


def claim(header: Header) -> Claim:
    """Find the weights that have a `scale_weight`; raise `FileRejected` for scales that misfit."""
    weights, used = {}, set[str]()
    for scale in (name for name in header.tensors if name.endswith(SCALE)):
        module = scale.removesuffix(SCALE)
        name = f"{module}.weight"
        weights[name] = by_rows(header, name, {"values": name, "scales": scale}, KINDS)
        used |= {name, scale, f"{module}.scale_input"}
    used |= {
        name
        for name, entry in header.tensors.items()
        if name.split(".")[-1] == MARKER
        and entry.dtype in FLOAT8
        and math.prod(entry.shape) <= _LONGEST_MARKER
    }
    return Claim(weights=weights, used=frozenset(used & header.tensors.keys()))
