"""Checkpoint formats: one file each here, its arithmetic in `unpack`, its name in `FORMATS`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats import quanto
from engine.checkpoints.formats.door import PLAIN, Format, Stored
from engine.checkpoints.header import FLOATS, Header
from engine.errors import FileRejected

FORMATS: Final[tuple[Format, ...]] = (quanto.claim,)
"""Every format, the more telling ones first; what one claims, no later one sees."""


def find_weights(headers: Sequence[Header]) -> dict[str, Stored]:
    """Return every weight of the files by its name; raise `FileRejected` for unknown storage."""
    return {name: weight for header in headers for name, weight in _in_file(header).items()}


def _in_file(header: Header) -> dict[str, Stored]:
    left, found = header, dict[str, Stored]()
    for form in FORMATS:
        claimed = form(left)
        found.update(claimed.weights)
        kept = {name: entry for name, entry in left.tensors.items() if name not in claimed.used}
        left = replace(left, tensors=kept)
    for name, entry in left.tensors.items():
        if entry.dtype not in FLOATS:
            raise FileRejected(
                f"{label(header.path)} stores {name!r} as {entry.dtype}, in no known format.",
                "Use another file of this model, such as the bf16 one.",
            )
        kind = entry.dtype.lower()
        found[name] = Stored(shape=entry.shape, kind=kind, packing=PLAIN, tensors={PLAIN: name})
    return found
