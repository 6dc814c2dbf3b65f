"""Matrices of 4 bits beside a product of low rank, as Nunchaku stores SVDQuant.

A linear layer `M` has `M.qweight` int8 [N, K / 2], `M.wscales`, `M.smooth_factor` [K], and
`M.proj_down` [K, R], `M.proj_up` [N, R]. In int4 a scale (bfloat16) is shared by 64 weights of a
row; in fp4 one (float8) by 16, besides `M.wtscale` for all and `M.wcscales` [N] by row. All lie in
the order in which the matrix units of a card read them: see `engine.checkpoints.unpack.nunchaku`.

Such files fuse q, k and v, and name the feed-forward layers otherwise, quantised or not; here each
weight gets the name and the rows that it has in diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats.door import PLAIN, Claim, Stored
from engine.checkpoints.header import FLOATS, Header, TensorEntry
from engine.errors import FileRejected

TILE: Final = 128
"""Rows and columns of a matrix come in whole tiles of so many."""

INT4_GROUP: Final = 64
FP4_GROUP: Final = 16
RANK_STEP: Final = 16

_VALUES: Final = "qweight"
_SCALES: Final = "wscales"
_NEEDED: Final = (_VALUES, _SCALES, "smooth_factor", "proj_down", "proj_up")
_OF_FP4: Final = ("wtscale", "wcscales")
_UNNEEDED: Final = "smooth_factor_orig"

_PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "attention.to_qkv": ("attention.to_q", "attention.to_k", "attention.to_v"),
        "feed_forward.net.0.proj": ("feed_forward.w3", "feed_forward.w1"),
        "feed_forward.net.2": ("feed_forward.w2",),
    }
)
"""Layers of these files, and the layers whose rows they hold, from the top."""


def claim(header: Header) -> Claim:
    """Find the layers of a Nunchaku file; raise `FileRejected` where one is not whole."""
    tensors = header.tensors
    weights, used = dict[str, Stored](), set[str]()
    for name in tensors:
        layer = name.removesuffix(f".{_VALUES}")
        if layer != name and f"{layer}.{_SCALES}" in tensors:
            weights |= _rows(layer, _quantised(header, layer))
            used |= {f"{layer}.{ending}" for ending in (*_NEEDED, *_OF_FP4, _UNNEEDED)}
    for name in tensors if used else ():
        layer = name.removesuffix(".weight")
        if layer != name and layer.endswith(tuple(_PARTS)):
            weights |= _rows(layer, _unquantised(header, name))
            used.add(name)
    return Claim(weights=weights, used=frozenset(used & tensors.keys()))


def _names(layer: str) -> tuple[str, ...]:
    """Return the layers, as diffusers names them, whose rows a layer of these files holds."""
    for theirs, parts in _PARTS.items():
        if layer.endswith(theirs):
            return tuple(layer.removesuffix(theirs) + part for part in parts)
    return (layer,)


def _rows(layer: str, whole: Stored) -> dict[str, Stored]:
    """Cut a layer into the weights that it holds."""
    names = _names(layer)
    rows = whole.shape[0] // len(names)
    shape = (rows, *whole.shape[1:])
    return {
        f"{name}.weight": replace(whole, shape=shape, options={"first_row": rows * index})
        for index, name in enumerate(names)
    }


def _quantised(header: Header, layer: str) -> Stored:
    found = {
        ending: header.tensors[f"{layer}.{ending}"]
        for ending in (*_NEEDED, *_OF_FP4)
        if f"{layer}.{ending}" in header.tensors
    }
    faults = [f"lacks {ending}" for ending in _NEEDED if ending not in found]
    faults = faults or list(_faults(layer, found))
    if faults:
        raise FileRejected(
            f"{label(header.path)}: the Nunchaku layer {layer!r:.200} {faults[0]}.",
            "Download it again, or use another file of this model.",
        )
    rows, half = found[_VALUES].shape
    return Stored(
        shape=(rows, 2 * half),
        kind=f"{'fp4' if _is_fp4(found) else 'int4'} (nunchaku)",
        packing="nunchaku",
        tensors={ending: f"{layer}.{ending}" for ending in found},
    )


def _faults(layer: str, found: Mapping[str, TensorEntry]) -> Iterator[str]:
    """Say what cannot be: the wrong number types, and shapes that do not fit one another."""
    values, down = found[_VALUES], found["proj_down"]
    if len(values.shape) != 2 or len(down.shape) != 2:
        yield f"has {_VALUES} or proj_down that is no matrix"
        return
    rows, columns, rank = values.shape[0], 2 * values.shape[1], down.shape[1]
    if not rows or rows % (TILE * len(_names(layer))) or not columns or columns % TILE:
        yield f"is [{rows}, {columns}], which is not made of whole tiles of {TILE}"
    if not rank or rank % RANK_STEP:
        yield f"has rank {rank}, no multiple of {RANK_STEP}"
    group = FP4_GROUP if _is_fp4(found) else INT4_GROUP
    expected = {
        _SCALES: (columns // group, rows),
        "smooth_factor": (columns,),
        "proj_down": (columns, rank),
        "proj_up": (rows, rank),
        "wcscales": (rows,),
    }
    for ending, entry in found.items():
        if entry.shape != expected.get(ending, entry.shape):
            yield f"has {ending} of {list(entry.shape)}, not {list(expected[ending])}"
        if ending == "wtscale" and entry.shape not in {(), (1,)}:
            yield "has more than one wtscale"
        if entry.dtype not in _types(ending):
            yield f"has {ending} in {entry.dtype}"


def _types(ending: str) -> frozenset[str]:
    """Return the number types in which a tensor of a layer may come."""
    if ending == _VALUES:
        return frozenset({"I8", "U8"})
    return FLOATS | {"F8_E4M3"} if ending == _SCALES else FLOATS


def _is_fp4(found: Mapping[str, TensorEntry]) -> bool:
    return found[_SCALES].dtype == "F8_E4M3"


def _unquantised(header: Header, name: str) -> Stored:
    """Find a layer that is stored as it is, yet under this format's name."""
    entry = header.tensors[name]
    parts = len(_names(name.removesuffix(".weight")))
    if entry.dtype not in FLOATS or len(entry.shape) != 2 or entry.shape[0] % parts:
        raise FileRejected(
            f"{label(header.path)}: {name!r:.200} is {entry.dtype} {list(entry.shape)}, which is "
            f"no matrix of {parts} parts.",
            "Download it again, or use another file of this model.",
        )
    return Stored(
        shape=entry.shape, kind=entry.dtype.lower(), packing="row block", tensors={PLAIN: name}
    )
