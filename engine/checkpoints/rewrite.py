"""Writes the weights of a file anew as bfloat16, or as int8 in optimum-quanto's format.

They are read, changed and written one at a time. Transformers get diffusers' names; the other
networks keep theirs.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from engine.checkpoints.accounting import match_names
from engine.checkpoints.assemble import check_finite
from engine.checkpoints.checkpoint import Part
from engine.checkpoints.configs import transformer_config
from engine.checkpoints.formats.door import PLAIN
from engine.checkpoints.formats.quanto import DATA, SCALE
from engine.checkpoints.identity import VARIANT_KEY
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, spoken, transformer_names
from engine.checkpoints.look import declared
from engine.checkpoints.recognise import Role
from engine.checkpoints.tensors import TORCH_TYPES
from engine.checkpoints.weights import WeightFiles, open_weights
from engine.checkpoints.writer import Planned, write_tensors
from engine.model.shapes import transformer_shapes
from engine.quant.recipe import TEXT_LAYERS, transformer_layers
from engine.quant.rows import quantise_rows

BF16: Final = "BF16"
_INT8: Final = "I8"
_SCALARS: Final = ("input_scale", "output_scale")
"""Scales of activations, which quanto's format has even where these are not quantised."""

_TEXT_LAYER: Final = re.compile(
    rf"(.*\.)?layers\.[0-9]+\.({'|'.join(map(re.escape, TEXT_LAYERS))})\.weight"
)
_KEPT_METADATA: Final = (VARIANT_KEY, "modelspec.")


@dataclass(frozen=True, slots=True)
class Item:
    """One weight to be written: of which it is made, under which names its row blocks go.

    int8: as quanto's rows; else as `dtype`, which also is that of the scales.
    """

    source: str
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    int8: bool

    @property
    def planned(self) -> Iterator[Planned]:
        """Every tensor that the file will hold of it."""
        rows = (self.shape[0] // len(self.names), *self.shape[1:])
        for name in self.names:
            if not self.int8:
                yield Planned(name, self.dtype, rows)
                continue
            yield Planned(name + DATA, _INT8, rows)
            yield Planned(name + SCALE, self.dtype, (rows[0], 1))
            module = name.removesuffix(".weight")
            yield from (Planned(f"{module}.{scalar}", self.dtype, ()) for scalar in _SCALARS)


def write_weights(
    path: Path,
    parts: Mapping[Role, Part],
    *,
    int8: bool,
    variant: str | None = None,
    on_tensor: Callable[[], None] = lambda: None,
) -> None:
    """Write the networks of one file, or of its shards, to the file `path`.

    A `variant` is noted in it where it holds a transformer. `on_tensor` runs before each weight;
    it may raise to cancel. Raises `DiskError`, and `FileRejected` for weights that are damaged.
    """
    items = [item for role, part in parts.items() for item in _items(role, part, parts, int8)]
    headers = next(iter(parts.values())).headers
    weights = {name: weight for part in parts.values() for name, weight in part.weights.items()}
    planned = [tensor for item in items for tensor in item.planned]
    with open_weights(headers, weights) as source:
        tensors = _tensors(items, source, on_tensor)
        told = _metadata(parts, items)
        if variant is not None and Role.TRANSFORMER in parts:
            told[VARIANT_KEY] = variant
        write_tensors(path, planned, told, tensors)


def _items(role: Role, part: Part, parts: Mapping[Role, Part], int8: bool) -> Iterator[Item]:
    """List the weights of a network; beside other networks it keeps its prefix.

    An autoencoder keeps its number types: it is small, and bfloat16 shows in its pictures.
    """
    if role is Role.TRANSFORMER:
        yield from _transformer_items(part, part.prefix if len(parts) > 1 else "", int8=int8)
        return
    for name in part.weights:
        rounded = role is Role.TEXT_ENCODER and _TEXT_LAYER.fullmatch(name) is not None
        yield _item(part, name, (name,), rounded=rounded, int8=int8 or role is Role.VAE)


def _transformer_items(part: Part, prefix: str, *, int8: bool) -> Iterator[Item]:
    """List the weights of a transformer, renamed; what others fuse is cut to diffusers' blocks."""
    config = transformer_config(part.bare_shapes, declared(Role.TRANSFORMER, part))
    layers = {f"{name}.weight" for name in transformer_layers(config.n_layers)}
    dialect, _ = spoken(part.shapes, TRANSFORMER_DIALECTS)
    needed = transformer_shapes(config)
    for ours, sources in match_names(needed, part.shapes, dialect, "transformer").items():
        goals = [prefix + name for name in transformer_names(ours)]
        each = len(goals) // len(sources)
        for index, source in enumerate(sources):
            block = tuple(goals[index * each : (index + 1) * each])
            yield _item(part, source, block, rounded=ours in layers, int8=int8)


def _item(part: Part, source: str, names: tuple[str, ...], *, rounded: bool, int8: bool) -> Item:
    """Decide what becomes of one weight. rounded: it belongs to the layers that become int8.

    Of int8, scales have the number type of what they are computed from; float16 would be too
    coarse for small ones.
    """
    stored = part.weights[source]
    if not int8:
        return Item(source, names, stored.shape, BF16, int8=False)
    own = stored.kind.upper() if stored.packing == PLAIN else BF16
    # The format has no word for turned columns.
    keeps = stored.keeps_int8 and "group" not in stored.options
    if keeps:
        tables = (header.tensors for header in part.headers)
        own = next(
            t[stored.tensors["scales"]].dtype for t in tables if stored.tensors["scales"] in t
        )
    becomes_int8 = rounded or keeps
    if own == "F64" or (becomes_int8 and own != BF16):
        own = "F32"
    return Item(source, names, stored.shape, own, becomes_int8)


def _tensors(
    items: Sequence[Item], source: WeightFiles, on_tensor: Callable[[], None]
) -> Iterator[tuple[str, Tensor]]:
    """Read and change one weight after the other; yield what the file is to hold, by name."""
    for item in items:
        on_tensor()
        if item.int8:
            yield from _int8_tensors(item, source)
            continue
        weight = source.read(item.source).to(TORCH_TYPES[item.dtype])
        check_finite(weight, item.source)
        yield from zip(item.names, weight.chunk(len(item.names)), strict=True)


def _int8_tensors(item: Item, source: WeightFiles) -> Iterator[tuple[str, Tensor]]:
    dtype = TORCH_TYPES[item.dtype]
    kept = source.read_int8(item.source)
    if kept is not None and kept.group > 1:
        kept = None
    rows = kept or quantise_rows(source.read(item.source).to(dtype))
    check_finite(rows.scales, item.source)
    count = len(item.names)
    blocks = zip(item.names, rows.values.chunk(count), rows.scales.chunk(count), strict=True)
    for name, values, scales in blocks:
        yield name + DATA, values
        yield name + SCALE, scales.reshape(-1, 1)
        module = name.removesuffix(".weight")
        yield from ((f"{module}.{scalar}", torch.ones((), dtype=dtype)) for scalar in _SCALARS)


def _metadata(parts: Mapping[Role, Part], items: Sequence[Item]) -> dict[str, str]:
    """Return what the file says of itself: what it is, and which layers are quantised."""
    first = next(iter(parts.values())).headers[0].metadata
    kept = {name: text for name, text in first.items() if name.startswith(_KEPT_METADATA)}
    layers = [name for item in items if item.int8 for name in item.names]
    if not layers:
        return {"format": "pt", **kept}
    how = {"weights": "qint8", "activations": "none"}
    table = json.dumps({name.removesuffix(".weight"): how for name in layers})
    return {
        "format": "pt",
        "quantization_format": "quanto",
        "quantization_map_base64": base64.b64encode(table.encode()).decode(),
        **kept,
    }
