"""int8 and float8 weights as optimum-quanto and Wan2GP store them: values, and one scale a row.

`M.weight._data` [N, K] and `M.weight._scale` [N, 1] replace `M.weight`; `M.input_scale` and
`M.output_scale` belong to quantised activations and are not needed. The names tell everything:
whatever the file's metadata says besides is not looked at.
"""

from __future__ import annotations

from typing import Final

from engine.checkpoints.formats.door import Claim
from engine.checkpoints.formats.rows import FLOAT8, INT8, by_rows
from engine.checkpoints.header import Header

DATA: Final = "._data"
SCALE: Final = "._scale"
KINDS: Final = {INT8: "int8 (quanto)", **dict.fromkeys(FLOAT8, "fp8 (quanto)")}
_ACTIVATIONS: Final = (".input_scale", ".output_scale")


def claim(header: Header) -> Claim:
    """Find quanto's weights; raise `FileRejected` for values that lack their scales."""
    weights, used = {}, set[str]()
    for data in (name for name in header.tensors if name.endswith(DATA)):
        name = data.removesuffix(DATA)
        tensors = {"values": data, "scales": name + SCALE}
        weights[name] = by_rows(header, name, tensors, KINDS)
        module = name.removesuffix(".weight")
        used |= {*tensors.values(), *(module + ending for ending in _ACTIVATIONS)}
    return Claim(weights=weights, used=frozenset(used & header.tensors.keys()))
