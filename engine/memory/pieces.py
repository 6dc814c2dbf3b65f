"""What a model's weights are to the memory: pieces that are visited in tours, and their bytes.

A piece is a module whose weights lie together in one slab. A tour visits its pieces in one order
every time. No weight is read here, and nothing imports torch: all of it follows from shapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from engine.checkpoints.checkpoint import Checkpoint
from engine.lora.match import Match
from engine.lora.size import added_numbers
from engine.memory.ledger import Layout, Ledger, Networks, Numbers, networks_of, stored_int8
from engine.model.shapes import vision_shapes

ALIGNMENT: Final = 256
"""Bytes; where every tensor of a slab begins, as kernels like it best."""

PARTS: Final = ("attention", "feed_forward.w13", "feed_forward.w2")
"""Pieces of a block that is too large for the slots of the others; its norms never leave."""

TABLE: Final = "text_encoder.model.embed_tokens"
IDLE: Final = "vae.encoder"

_BESIDE: Final = 3
"""Tensors that a change of a layer may come in, each aligned by itself."""


class Tour(StrEnum):
    """One way through a model, and how often a job goes it.

    READ: layers of the text encoder, per prompt. REFINE: blocks that refine a caption, per prompt.
    LOOK: those that refine what is seen of input pictures, per prompt of a job with any.
    MODULATE: what turns times into modulation, per schedule. DENOISE: noise refiner and main
    layers, per evaluation. DECODE: the autoencoder's decoder, per picture.
    """

    READ = "read"
    REFINE = "refine"
    LOOK = "look"
    MODULATE = "modulate"
    DENOISE = "denoise"
    DECODE = "decode"


_MEMBERS: Final = (
    (Tour.READ, re.compile(r"text_encoder\.model\.layers\.\d+")),
    (Tour.REFINE, re.compile(r"transformer\.context_refiner\.\d+")),
    (Tour.LOOK, re.compile(r"transformer\.siglip_refiner\.\d+")),
    (Tour.MODULATE, re.compile(r"transformer\.(?:noise_refiner|layers)\.\d+\.modulation")),
    (Tour.DENOISE, re.compile(r"transformer\.(?:noise_refiner|layers)\.\d+")),
    (Tour.DECODE, re.compile(r"vae\.decoder\.(?:stages\.\d+|\w+)")),
)
"""Which module a weight travels with, by the first pattern that its path begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece: its module's path, its tour, the bytes of its slab, and what it computes.

    kind: `Precision` of most of its products. operations: multiplications and additions per token;
    in MODULATE per time, in DECODE per pixel of the picture. mixing: those per token and token
    that it attends to.
    """

    name: str
    tour: Tour
    bytes: int
    kind: str = "bf16"
    operations: float = 0.0
    mixing: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A model in one precision.

    pieces: in the order of their visits, tour after tour. fixed_bytes: what never leaves the
    device. embedding_bytes: the text encoder's table, which stays in the computer's memory.
    idle_bytes: the autoencoder's encoder: on the device where every piece is, else only while it
    encodes. idle_operations: its multiplications and additions per pixel. step_bytes: modulation of
    one time. token_bytes: one token of the transformer. vision_bytes: the vision encoder, which is
    loaded only to look at a new picture; vision_layer_bytes: its largest layer.
    """

    precision: str
    pieces: tuple[Piece, ...]
    fixed_bytes: int
    embedding_bytes: int
    idle_bytes: int = 0
    idle_operations: float = 0.0
    step_bytes: int = 0
    token_bytes: int = 0
    vision_bytes: int = 0
    vision_layer_bytes: int = 0

    def tour(self, tour: Tour) -> tuple[Piece, ...]:
        """Return the pieces of one tour, in the order of their visits."""
        return tuple(piece for piece in self.pieces if piece.tour is tour)


def slab_bytes(tensors: Iterable[Layout]) -> int:
    """Return the bytes of a slab of tensors, each given as its shape and the bytes of a number."""
    return sum(aligned(math.prod(shape) * size) for shape, size in tensors)


def aligned(count: int) -> int:
    """Round bytes up to where the next tensor may begin."""
    return -(-count // ALIGNMENT) * ALIGNMENT


def sizes_of(checkpoint: Checkpoint, numbers: Numbers, adapters: Iterable[Match] = ()) -> Sizes:
    """Return the sizes that an opened model has in memory, whatever number types its files hold.

    adapters: what lies beside its layers, and travels with them.
    """
    sizes = model_sizes(networks_of(checkpoint), numbers, frozenset(stored_int8(checkpoint)))
    return with_adapters(sizes, adapters, numbers.item_bytes)


def with_adapters(sizes: Sizes, adapters: Iterable[Match], item_bytes: int) -> Sizes:
    """Return sizes with what adapters put beside layers of the transformer, by their pieces."""
    pieces = {piece.name: piece for piece in sizes.pieces}
    fixed = sizes.fixed_bytes
    for found in adapters:
        for module, numbers in added_numbers(found):
            added = aligned(numbers * item_bytes) + _BESIDE * ALIGNMENT
            name = _holder(f"transformer.{module}", pieces)
            if name is None:
                fixed += added
            else:
                pieces[name] = replace(pieces[name], bytes=pieces[name].bytes + added)
    return replace(sizes, pieces=tuple(pieces.values()), fixed_bytes=fixed)


def _holder(module: str, pieces: Collection[str]) -> str | None:
    """Return the piece that a module travels with, None for one that never leaves."""
    while module and module not in pieces:
        module = module.rpartition(".")[0]
    return module or None


def model_sizes(networks: Networks, numbers: Numbers, stored: Collection[str] = ()) -> Sizes:
    """Return the sizes of three networks; stored: what `stored_int8` finds in their files."""
    ledger = Ledger(networks, numbers, stored)
    dim, middle = networks.transformer.dim, networks.transformer.n_layers // 2
    modules = _modules(ledger)
    largest = _slab(ledger, modules[f"transformer.layers.{middle}"])
    members = {
        name: paths
        for module, whole in modules.items()
        for name, paths in _cut(ledger, module, whole, largest)
    }
    queries = networks.text_encoder["head_dim"] * networks.text_encoder["num_attention_heads"]
    widths = {Tour.READ: queries, Tour.REFINE: dim, Tour.LOOK: dim, Tour.DENOISE: dim}
    pieces = [_piece(ledger, name, paths, widths) for name, paths in members.items()]
    travelling = {path for paths in members.values() for path in paths}
    rest = [path for path in ledger.weights if path not in travelling]
    table = [path for path in rest if path.startswith(TABLE)]
    idle = [path for path in rest if path.startswith(IDLE)]
    modulated = sum(piece.tour is Tour.MODULATE for piece in pieces)
    order = list(Tour)
    return Sizes(
        precision=numbers.precision,
        pieces=tuple(sorted(pieces, key=lambda piece: order.index(piece.tour))),
        fixed_bytes=_slab(ledger, set(rest) - set(table) - set(idle)),
        embedding_bytes=_slab(ledger, table),
        idle_bytes=_slab(ledger, idle),
        idle_operations=sum(map(ledger.operations, idle)),
        step_bytes=(4 * modulated + 1) * dim * numbers.item_bytes,
        token_bytes=dim * numbers.item_bytes,
        **_vision_bytes(networks, numbers),
    )


def _vision_bytes(networks: Networks, numbers: Numbers) -> dict[str, int]:
    """Return the bytes of the vision encoder, if there is one, and of its largest layer."""
    if networks.vision is None:
        return {}
    layers: dict[str, int] = {}
    for name, shape in vision_shapes(networks.vision).items():
        layer = ".".join(name.split(".")[:4])
        layers[layer] = layers.get(layer, 0) + math.prod(shape) * numbers.item_bytes
    return {"vision_bytes": sum(layers.values()), "vision_layer_bytes": max(layers.values())}


def _modules(ledger: Ledger) -> dict[str, list[str]]:
    """Return the paths of the weights of every module that travels, in the order of the networks.

    The noise refiner comes before the main layers, as in a visit.
    """
    found: dict[str, list[str]] = {}
    for path in ledger.weights:
        matches = (pattern.match(path) for _, pattern in _MEMBERS)
        match = next(filter(None, matches), None)
        if match is not None:
            found.setdefault(match[0], []).append(path)
    return found


def tour_of(name: str) -> Tour:
    """Return the tour that a piece, by its name, or a weight, by its path, belongs to."""
    return next(tour for tour, pattern in _MEMBERS if pattern.match(name))


def _cut(
    ledger: Ledger, module: str, paths: list[str], largest: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield a module, or the parts of a block that is larger than `largest`, with their weights."""
    if (
        tour_of(module) not in {Tour.REFINE, Tour.LOOK, Tour.DENOISE}
        or _slab(ledger, paths) <= largest
    ):
        yield module, paths
        return
    for part in PARTS:
        yield f"{module}.{part}", [p for p in paths if p.startswith(f"{module}.{part}.")]


def _piece(ledger: Ledger, name: str, paths: Sequence[str], widths: Mapping[Tour, int]) -> Piece:
    """Describe a piece; widths: of the queries of the blocks of a tour."""
    tour = tour_of(name)
    heaviest = max(paths, key=ledger.operations)
    attends = not name.endswith(PARTS[1:])
    return Piece(
        name=name,
        tour=tour,
        bytes=_slab(ledger, paths),
        kind=ledger.kind(heaviest),
        operations=sum(map(ledger.operations, paths)),
        mixing=4.0 * widths.get(tour, 0) * attends,
    )


def _slab(ledger: Ledger, paths: Iterable[str]) -> int:
    return slab_bytes(tensor for path in paths for tensor in ledger.tensors(path))
