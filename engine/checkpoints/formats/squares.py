"""float8 and int8 weights with one scale for each square of the matrix.

The official float8 files of Qwen3 hold `X.weight` and `X.weight_scale_inv`, squares of 128 x 128:
the weight is their product, whatever the name says. Squares at the lower and right edge may be cut.
"""

from __future__ import annotations

from typing import Final

from engine.checkpoints.formats.door import Claim, Stored
from engine.checkpoints.formats.rows import FLOAT8, INT8, rejected
from engine.checkpoints.header import FLOATS, Header

SCALE: Final = ".weight_scale_inv"
SIDE: Final = 128
KINDS: Final = {INT8: "int8 (squares)", **dict.fromkeys(FLOAT8, "fp8 (squares)")}


def claim(header: Header) -> Claim:
    """Find the weights that have a `weight_scale_inv`; raise `FileRejected` for odd scales."""
    weights, used = {}, set[str]()
    for scale in (name for name in header.tensors if name.endswith(SCALE)):
        name = f"{scale.removesuffix(SCALE)}.weight"
        weights[name] = squares(header, name, scale, SIDE)
        used |= {name, scale}
    return Claim(weights=weights, used=frozenset(used))


def squares(header: Header, name: str, scale: str, side: int) -> Stored:
    """Describe the weight `name` [N, K], with scales [ceil(N / side), ceil(K / side)].

    Raises `FileRejected` for number types and shapes that misfit.
    """
    values, scales = header.tensors.get(name), header.tensors.get(scale)
    if values is None or scales is None:
        raise rejected(header, name, f"lacks {name if values is None else scale!r}")
    if values.dtype not in KINDS or len(values.shape) != 2:
        raise rejected(header, name, f"is stored as {values.dtype} {list(values.shape)}")
    expected = tuple(-(-length // side) for length in values.shape)
    if scales.dtype not in FLOATS or scales.shape != expected:
        found = f"{scales.dtype} {list(scales.shape)}"
        raise rejected(header, name, f"has scales {found} where squares of {side} need {expected}")
    return Stored(
        shape=values.shape,
        kind=KINDS[values.dtype],
        packing="squares",
        tensors={"values": name, "scales": scale},
        options={"side": side},
    )
