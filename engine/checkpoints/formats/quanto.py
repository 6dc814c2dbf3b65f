"""int8 and float8 weights as optimum-quanto stores them: values, and one scale a row.

`M.weight._data` [N, K] and `M.weight._scale` [N, 1] replace `M.weight`; `M.input_scale` and
`M.output_scale` belong to quantised activations and are not needed.
"""

from __future__ import annotations

from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats.door import Claim, Stored
from engine.checkpoints.header import Header
from engine.errors import FileRejected

DATA: Final = "._data"
SCALE: Final = "._scale"
KINDS: Final = {"I8": "int8 (quanto)", "F8_E4M3": "fp8 (quanto)", "F8_E5M2": "fp8 (quanto)"}
_ACTIVATIONS: Final = (".input_scale", ".output_scale")


def claim(header: Header) -> Claim:
    """Find quanto's weights; raise `FileRejected` for values that lack their scales."""
    weights, used = {}, set()
    for data in (name for name in header.tensors if name.endswith(DATA)):
        name = data.removesuffix(DATA)
        weights[name] = _stored(header, name)
        module = name.removesuffix(".weight")
        used |= {data, name + SCALE, *(module + ending for ending in _ACTIVATIONS)}
    return Claim(weights=weights, used=frozenset(used & header.tensors.keys()))


def _stored(header: Header, name: str) -> Stored:
    data, scale = header.tensors[name + DATA], header.tensors.get(name + SCALE)
    rows = data.shape[:1]
    if scale is None or data.dtype not in KINDS or scale.shape not in {rows, (*rows, 1), (), (1,)}:
        raise FileRejected(
            f"{label(header.path)}: the quanto weight {name!r} has no scale for each row.",
            "Download it again, or convert it again.",
        )
    return Stored(
        shape=data.shape,
        kind=KINDS[data.dtype],
        packing="rows",
        tensors={"values": name + DATA, "scales": name + SCALE},
        keeps_int8=data.dtype == "I8",
    )
