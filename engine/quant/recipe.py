"""Which layers become int8, as data: the products that take the time, where rounding is safe.

Embedders, refiners, modulation, the final layer, and the first and the last main layer keep their
precision: they are small, or everything depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from engine.model.shapes import UNUSED_LAYERS


class Form(Enum):
    """How the products of a network's blocks compute.

    PLAIN: in the number type of the rest. INT8: by this recipe. HALF: in float16 that cannot
    overflow, between float32.
    """

    PLAIN = auto()
    INT8 = auto()
    HALF = auto()


BLOCK_LAYERS: Final = (
    "attention.qkv", "attention.out", "feed_forward.w13", "feed_forward.w2"
)  # fmt: skip
"""Linear layers of a main layer of the transformer, by our names."""

TEXT_LAYERS: Final = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip
"""Linear layers of a layer of Qwen3."""

BLOCKS: Final = ("layers.", "noise_refiner.", "context_refiner.", "siglip_refiner.")
TEXT_BLOCKS: Final = ("model.layers.",)
"""Where other layers stay int8 if a file holds them so."""

FEWEST_WITH_EXCEPTIONS: Final = 6
"""With fewer main layers than this, the first and the last become int8 as well."""


def transformer_layers(n_layers: int) -> Iterator[str]:
    """Yield the names of the layers of our `Transformer` that become int8."""
    kept = 1 if n_layers >= FEWEST_WITH_EXCEPTIONS else 0
    for number in range(kept, n_layers - kept):
        yield from (f"layers.{number}.{layer}" for layer in BLOCK_LAYERS)


def text_encoder_layers(num_hidden_layers: int) -> Iterator[str]:
    """Yield the names of the layers of our `TextEncoder`, which lacks the last layer."""
    for number in range(num_hidden_layers - UNUSED_LAYERS):
        yield from (f"model.layers.{number}.{layer}" for layer in TEXT_LAYERS)
