"""How much memory the transformer works in: how tokens are cut into parts, and what follows.

No tensor is made here, so that a plan can be had without PyTorch.
"""

from __future__ import annotations

from typing import Final

from engine.model.config import TransformerConfig

PRODUCT_TOKENS: Final = 1152
"""So many tokens go through the widest product at once: a picture of 512 x 512 and its caption."""

_TILE: Final = 128
"""Kernels of graphics cards compute so many tokens together."""

_NORM_BYTES: Final = 15
"""Bytes a number that a norm, and after it a rotation, makes on its way in float32."""

_SUM_TOKENS: Final = 256
_SUM_BYTES: Final = 8
_ROUNDED_BYTES: Final = 6
"""Of so many tokens, sums of int8 layers are held as whole numbers and as float32; and the tokens
themselves, as they are rounded."""


def part_size(sequences: int, tokens: int, most: int) -> int:
    """Return into parts of how many tokens each of some sequences is cut, about `most` in all.

    Parts are even, and multiples of what kernels compute together.
    """
    parts = -(-sequences * tokens // most)
    return -(-tokens // (parts * _TILE)) * _TILE


def transformer_footprint(
    config: TransformerConfig,
    tokens: int,
    sequences: int,
    item_bytes: int,
    *,
    is_int8: bool = False,
) -> int:
    """Return the most bytes of activations that one `Transformer.forward` has at a time.

    tokens: of one sequence, picture and caption. sequences: that are computed together; ragged ones
    count as many of the longest. item_bytes: of the number type computed in. is_int8: layers of
    the blocks are int8, or float16 between float32. Weights, latents, angles and modulation are not
    counted.
    """
    count = sequences * tokens
    part = min(count, PRODUCT_TOKENS + (sequences - 1) * _TILE)
    row, hidden = config.dim * item_bytes, config.ffn_dim * item_bytes
    norm = part * config.dim * _NORM_BYTES
    rounded = min(count, _SUM_TOKENS) if is_int8 else 0

    def product(columns: int, rows: int) -> int:
        return rounded * (_SUM_BYTES * rows + _ROUNDED_BYTES * columns)

    # Input, queries, keys and values; then what they are mixed to, of ragged sequences twice.
    mixed = count * row * min(sequences, 2)
    projected = count * row + product(config.dim, 3 * config.dim)
    attention = 4 * count * row + max(mixed, norm, projected)
    # Input and what attention made of it; gate and value of a part; hidden numbers, or the result.
    is_whole = part == count
    first = part * (row + 2 * hidden) + product(config.dim, 2 * config.ffn_dim)
    second = count * row + product(config.ffn_dim, config.dim)
    gated = count * hidden * (2 if is_whole else 1)
    halves = max(first, norm) + (0 if is_whole else gated), second + gated
    return max(attention, 2 * count * row + max(halves))
