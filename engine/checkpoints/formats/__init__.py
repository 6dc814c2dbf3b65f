"""Checkpoint formats: one file each here, its arithmetic in `unpack`, its name in `FORMATS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats import (
    blocks,
    comfy,
    fp8,
    gguf,
    nunchaku,
    quanto,
    scaled_fp8,
    squares,
)
from engine.checkpoints.formats.door import PLAIN, Format, Stored
from engine.checkpoints.header import FLOATS, Header
from engine.errors import FileRejected

FORMATS: Final[tuple[Format, ...]] = (
    quanto.claim,
    comfy.claim,
    scaled_fp8.claim,
    blocks.claim,
    squares.claim,
    nunchaku.claim,
    fp8.claim,
    gguf.claim,
)
"""Every format, the more telling ones first; what one claims, no later one sees."""


def find_weights(headers: Sequence[Header]) -> dict[str, Stored]:
    """Return every weight of the files by its name; raise `FileRejected` for unknown storage."""
    found = dict[str, Stored]()
    for header in headers:
        _add(found, _in_file(header), header)
    return found


def _in_file(header: Header) -> dict[str, Stored]:
    left, found = header, dict[str, Stored]()
    for form in FORMATS:
        claimed = form(left)
        _add(found, claimed.weights, header)
        kept = {name: entry for name, entry in left.tensors.items() if name not in claimed.used}
        left = replace(left, tensors=kept)
    for name, entry in left.tensors.items():
        if entry.dtype not in FLOATS:
            raise FileRejected(
                f"{label(header.path)} stores {name!r} as {entry.dtype}, in no known format.",
                "Use another file of this model, such as the bf16 one.",
            )
        kind = entry.dtype.lower()
        plain = Stored(shape=entry.shape, kind=kind, packing=PLAIN, tensors={PLAIN: name})
        _add(found, {name: plain}, header)
    return found


def _add(found: dict[str, Stored], weights: Mapping[str, Stored], header: Header) -> None:
    for name in found.keys() & weights.keys():
        raise FileRejected(
            f"{label(header.path)} holds {name!r:.200}, which is there already.",
            "Download it again.",
        )
    found.update(weights)
