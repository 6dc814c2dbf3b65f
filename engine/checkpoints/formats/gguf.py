"""Weights that ggml packs in blocks, and the names that language models have in GGUF files.

A transformer keeps the names of its dialect. A Qwen3 in llama.cpp's names gets those of the
libraries, its plain weights too, so that nothing above this file knows of the others.
"""

from __future__ import annotations

from typing import Final

from engine.checkpoints.files import label
from engine.checkpoints.formats.door import PLAIN, Claim, Stored
from engine.checkpoints.gguf import TYPES
from engine.checkpoints.gguf_names import LLAMA_MARKER, library_name
from engine.checkpoints.header import FLOATS, Header, TensorEntry
from engine.errors import FileRejected

BLOCKS: Final = "blocks"
"""The role of a packed weight's only tensor, and the name of its packing: `gguf`."""

PACKED: Final = frozenset(block.name for block in TYPES.values() if block.weights > 1)


def claim(header: Header) -> Claim:
    """Find packed weights, and all of a language model; raise `FileRejected` for a name twice."""
    speaks_llama = LLAMA_MARKER in header.tensors
    taken = PACKED | FLOATS if speaks_llama else PACKED
    used = [name for name, entry in header.tensors.items() if entry.dtype in taken]
    weights = {
        library_name(name) if speaks_llama else name: _stored(name, header.tensors[name])
        for name in used
    }
    if len(weights) < len(used):
        raise FileRejected(
            f"{label(header.path)} names a weight twice, in different ways.", "Download it again."
        )
    return Claim(weights=weights, used=frozenset(used))


def _stored(name: str, entry: TensorEntry) -> Stored:
    if entry.dtype in FLOATS:
        kind = entry.dtype.lower()
        return Stored(shape=entry.shape, kind=kind, packing=PLAIN, tensors={PLAIN: name})
    return Stored(shape=entry.shape, kind=entry.dtype, packing="gguf", tensors={BLOCKS: name})
