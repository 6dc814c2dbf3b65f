"""Every weight of a model: what it computes, and how it lies in memory in a chosen precision."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.checkpoints.checkpoint import Checkpoint, Part
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, Dialect, spoken, text_encoder_dialect
from engine.model.config import LATENT_SCALE, TransformerConfig, VaeConfig, VisionConfig
from engine.model.shapes import Shapes, text_encoder_shapes, transformer_shapes, vae_shapes
from engine.quant.recipe import (
    BLOCK_LAYERS,
    BLOCKS,
    TEXT_BLOCKS,
    TEXT_LAYERS,
    text_encoder_layers,
    transformer_layers,
)
from engine.request import Precision

Layout = tuple[tuple[int, ...], int]
"""The shape of a tensor, and the bytes of one of its numbers."""

_SINGLE_BYTES: Final = 4
_HALF_BYTES: Final = 2
_MULTIPLE: Final = 8
_STAGE: Final = re.compile(r"vae\.decoder\.stages\.(\d+)\.(upsample)?")
_EARLIER: Final = re.compile(r"vae\.encoder\.(?:conv_in|stages\.(\d+))\.(downsample)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The numbers of a model's networks; text_encoder: checked fields of its config.

    vision: None where no pictures are read.
    """

    transformer: TransformerConfig
    text_encoder: Mapping[str, Any]
    vae: VaeConfig
    vision: VisionConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How numbers lie in memory.

    item_bytes: of each that is neither int8 nor half. half: whether products of blocks that are not
    int8 are float16, as on cards without bfloat16.
    """

    precision: Precision
    item_bytes: int
    half: bool = False


class Ledger:
    """The weights of three networks, by path; vectors are shapes of one number.

    stored_int8: paths of layers beyond the recipe that stay int8, since the files hold them so.
    """

    def __init__(
        self, networks: Networks, numbers: Numbers, stored_int8: Collection[str] = ()
    ) -> None:
        self.numbers = numbers
        self.weights: Shapes = {
            **_under("text_encoder", text_encoder_shapes(networks.text_encoder)),
            **_under("transformer", transformer_shapes(networks.transformer)),
            **_under("vae", vae_shapes(networks.vae)),
        }
        self._stages = len(networks.vae.block_out_channels)
        is_int8 = numbers.precision is Precision.INT8
        self._int8 = {*_recipe(networks), *stored_int8} if is_int8 else set()

    def tensors(self, path: str) -> Iterator[Layout]:
        """Yield the tensors that a weight lies in."""
        shape = self.weights[path]
        if self._is_int8(path):
            # Filled up to what the products of whole numbers demand.
            yield tuple(-(-side // _MULTIPLE) * _MULTIPLE for side in shape), 1
            yield shape[:1], _SINGLE_BYTES
        elif self.numbers.half and _is_product(path):
            yield shape, _HALF_BYTES
            yield (1,), _SINGLE_BYTES
        else:
            yield shape, self.numbers.item_bytes

    def kind(self, path: str) -> Precision:
        """Return the number type that the products with a weight are computed in."""
        if self._is_int8(path):
            return Precision.INT8
        if self.numbers.half and _is_product(path):
            return Precision.FP16
        return Precision.BF16 if self.numbers.item_bytes == _HALF_BYTES else Precision.FP32

    def operations(self, path: str) -> float:
        """Return the multiplications and additions per token; of the autoencoder, per pixel."""
        shape = self.weights[path]
        if len(shape) == 1:
            return 0.0
        return 2.0 * math.prod(shape) * (self._cells(path) if path.startswith("vae.") else 1.0)

    def _is_int8(self, path: str) -> bool:
        layer, _, leaf = path.rpartition(".")
        return leaf == "weight" and layer in self._int8

    def _cells(self, path: str) -> float:
        """Return the cells of the map that a weight of the autoencoder makes, per pixel."""
        earlier = _EARLIER.match(path)
        if earlier is not None:
            return float(0.25 ** (int(earlier[1] or 0) + (earlier[2] is not None)))
        stage = _STAGE.match(path)
        if stage is not None:
            doublings = int(stage[1]) + (stage[2] is not None)
            return float(4**doublings) / LATENT_SCALE**2
        return 1.0 if path.startswith("vae.decoder.out.") else 1.0 / LATENT_SCALE**2


def networks_of(checkpoint: Checkpoint) -> Networks:
    """Return the numbers of an opened model's networks."""
    return Networks(
        transformer=checkpoint.transformer,
        text_encoder=checkpoint.text_encoder,
        vae=checkpoint.vae,
        vision=checkpoint.vision,
    )


def stored_int8(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield the paths of the layers in blocks that a model's files hold as int8 rows."""
    parts, layers = checkpoint.parts, checkpoint.text_encoder["num_hidden_layers"]
    shapes = transformer_shapes(checkpoint.transformer)
    yield from _stored(parts.transformer, shapes, TRANSFORMER_DIALECTS, "transformer", BLOCKS)
    shapes = text_encoder_shapes(checkpoint.text_encoder)
    dialects = (text_encoder_dialect(layers),)
    yield from _stored(parts.text_encoder, shapes, dialects, "text_encoder", TEXT_BLOCKS)


def _stored(
    part: Part, shapes: Shapes, dialects: tuple[Dialect, ...], network: str, blocks: tuple[str, ...]
) -> Iterator[str]:
    dialect, prefix = spoken(part.shapes, dialects)
    kept = {name for name, weight in part.weights.items() if weight.keeps_int8}
    for name, shape in shapes.items():
        is_matrix = len(shape) > 1 and name.endswith(".weight") and name.startswith(blocks)
        if is_matrix and kept.issuperset(prefix + piece for piece in dialect.naming(name)):
            yield f"{network}.{name.removesuffix('.weight')}"


def _recipe(networks: Networks) -> Iterator[str]:
    for name in transformer_layers(networks.transformer.n_layers):
        yield f"transformer.{name}"
    for name in text_encoder_layers(networks.text_encoder["num_hidden_layers"]):
        yield f"text_encoder.{name}"


def _is_product(path: str) -> bool:
    """Say whether a weight belongs to the large products of a block; the autoencoder has none."""
    layer = path.removesuffix(".weight")
    return layer.endswith((*BLOCK_LAYERS, *TEXT_LAYERS)) and not path.startswith("vae.")


def _under(network: str, shapes: Shapes) -> Shapes:
    return {f"{network}.{name}": shape for name, shape in shapes.items()}
