"""Matrices of small numbers with one scale a row, or one for all: what several formats share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats.door import Stored
from engine.checkpoints.header import FLOATS, Header
from engine.errors import FileRejected

FLOAT8: Final = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
INT8: Final = "I8"


def by_rows(
    header: Header, name: str, tensors: Mapping[str, str], kinds: Mapping[str, str]
) -> Stored:
    """Describe the weight `name` [N, K], whose `values` and `scales` are the given tensors.

    kinds: what to call it, by the number type of its values. Raises `FileRejected` for values of
    another number type, and for scales that are neither [N], [N, 1] nor a single number.
    """
    values, scales = (header.tensors.get(tensors[role]) for role in ("values", "scales"))
    if values is None or scales is None:
        missing = tensors["values" if values is None else "scales"]
        raise rejected(header, name, f"lacks {missing!r}")
    if values.dtype not in kinds or len(values.shape) != 2:
        raise rejected(header, name, f"is stored as {values.dtype} {list(values.shape)}")
    rows = values.shape[0]
    if scales.dtype not in FLOATS or scales.shape not in {(), (1,), (1, 1), (rows,), (rows, 1)}:
        raise rejected(
            header, name, f"has scales {scales.dtype} {list(scales.shape)} for {rows} rows"
        )
    return Stored(
        shape=values.shape,
        kind=kinds[values.dtype],
        packing="rows",
        tensors=tensors,
        keeps_int8=values.dtype == INT8,
    )


def rejected(header: Header, name: str, fault: str) -> FileRejected:
    """Say what is wrong with a quantised weight."""
    return FileRejected(
        f"{label(header.path)}: the quantised weight {name!r:.200} {fault}.",
        "Download it again, or use another file of this model.",
    )
