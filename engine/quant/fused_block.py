"""A main block in eleven launches: products, attention, and one kernel between each two of them.

The same mathematics as `engine.model.layers.plain`, cut where a product must begin: what lies
between two products is one kernel, which also rounds the tokens if int8 weights come next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from engine.model.layers import Attention, Block, BlockModulation, Change, RMSNorm
from engine.model.rope import Rotation
from engine.quant.linear import Int8Linear
from engine.quant.products import WEIGHT_ONLY

_PART: Final = 2304
"""At most so many tokens are in the feed-forward part at once, whose hidden numbers are widest."""


def parts(tokens: int) -> int:
    """Return in how many parts tokens go through the feed-forward part of a block.

    Two for a picture of 1024 x 1024, whose block then takes fourteen launches.
    """
    return -(-tokens // _PART)


class Tokens(NamedTuple):
    """Tokens ready for a product: values [M, K]; if int8 with a scale each, float32 [M]."""

    values: Tensor
    scales: Tensor | None


class Norm(NamedTuple):
    """A norm, and what its result is multiplied by: weight [D], factor [S, 1, D]."""

    weight: Tensor
    factor: Tensor
    eps: float


class Kernels(Protocol):
    """The steps between attention and products, each one launch.

    `rounds` says whether a product by int8 weights follows.
    """

    def normalise(self, x: Tensor, norm: Norm, *, rounds: bool) -> Tokens:
        """Normalise and scale `x`, [G, T, D] -> [G·T, D]."""
        ...

    def quantise(self, x: Tensor) -> Tokens:
        """Round tokens `x` [M, D] to int8."""
        ...

    def multiply(self, tokens: Tokens, weight: tuple[Tensor, Tensor], out: Tensor) -> None:
        """Multiply rounded tokens [M, K] by a weight, int8 [N, K] and scales [N], into [M, N].

        Rows of tokens may lie apart.
        """
        ...

    def turn(
        self, qkv: Tensor, weights: tuple[Tensor, Tensor], eps: float, angles: Rotation
    ) -> None:
        """Normalise and rotate queries and keys of `qkv`, [M, 3, heads, head_dim], in place."""
        ...

    def add(self, x: Tensor, change: Tensor, gate: Norm) -> None:
        """Add the gated norm of `change` to `x`, both [G, T, D]; the sum replaces `change`."""
        ...

    def add_and_normalise(
        self, x: Tensor, change: Tensor, gate: Norm, norm: Norm, *, rounds: bool
    ) -> Tokens:
        """Do as `add`, and return the sum normalised and scaled, [G·T, D]."""
        ...

    def swiglu(self, w13: Tensor, *, rounds: bool) -> Tokens:
        """Return silu(gate) · value of `w13` [M, 2F], in the place of the gate, [M, F]."""
        ...


def fits(block: Block, modulation: Change | None) -> bool:
    """Say whether a block can run fused.

    Not so where two times meet in a sequence, and where the parts of a block are more than their
    weights: an adapter beside a product, columns that are turned, products in float16, parts that
    are streamed on their own.
    """
    attention, feed = block.attention, block.feed_forward
    products = (attention.qkv, attention.out, feed.w13, feed.w2)
    if not isinstance(modulation, BlockModulation):
        return False
    if attention.in_half or not all(map(_is_simple, products)):
        return False
    return not any(
        part._forward_pre_hooks or part._forward_hooks for part in (attention, feed, *products)
    )


def _is_simple(layer: nn.Module) -> bool:
    if type(layer) is nn.Linear:
        return layer.bias is None
    if type(layer) is not Int8Linear or layer.bias is not None or layer.turn is not None:
        return False
    sides = (layer.out_features, layer.in_features)
    return layer.product is not WEIGHT_ONLY and layer.prepared.shape == sides


def fused(
    kernels: Kernels,
    block: Block,
    x: Tensor,
    modulation: BlockModulation,
    angles: Rotation,
    lengths: Sequence[int] | None,
) -> Tensor:
    """Run a block that `fits` over tokens `x`, [G, T, D] -> [G, T, D]; `x` is left as it is.

    modulation: each [1 or G, 1, D]. angles: [1 or G, T, 1, head_dim/2]. Weights are those that the
    block has at this moment.
    """
    x = x.contiguous()
    first = _norm(block.attention_norm1, modulation.attention_scale)
    tokens = kernels.normalise(x, first, rounds=_rounds(block.attention.qkv))
    qkv = x.new_empty(len(tokens.values), block.attention.qkv.out_features)
    _multiply(kernels, tokens, block.attention.qkv, qkv)
    del tokens
    mixed = _mixed(kernels, block.attention, _Place(x.shape, angles, lengths), qkv)
    del qkv
    tokens = kernels.quantise(mixed) if _rounds(block.attention.out) else Tokens(mixed, None)
    del mixed
    middle = torch.empty_like(x)
    _multiply(kernels, tokens, block.attention.out, middle.view(-1, x.shape[-1]))
    del tokens
    gate = _norm(block.attention_norm2, modulation.attention_gate)
    second = _norm(block.ffn_norm1, modulation.ffn_scale)
    rounds = _rounds(block.feed_forward.w13)
    tokens = kernels.add_and_normalise(x, middle, gate, second, rounds=rounds)
    out = _fed(kernels, block, tokens, x)
    kernels.add(middle, out, _norm(block.ffn_norm2, modulation.ffn_gate))
    return out


class _Place(NamedTuple):
    """Where tokens stand: their shape [G, T, D], angles, and the lengths of their sequences."""

    shape: torch.Size
    angles: Rotation
    lengths: Sequence[int] | None


def _mixed(kernels: Kernels, attention: Attention, place: _Place, qkv: Tensor) -> Tensor:
    """Mix the tokens of each sequence, `qkv` [M, 3D] -> [M, D]."""
    heads = qkv.view(len(qkv), 3, -1, attention.head_dim)
    weights = (attention.q_norm.weight, attention.k_norm.weight)
    kernels.turn(heads, weights, attention.q_norm.eps, place.angles)
    q, k, v = heads.view(*place.shape[:2], *heads.shape[1:]).unbind(2)
    if place.lengths is None:
        mixed = attention.attend(q, k, v)
    else:
        pieces = zip(*(part.split(list(place.lengths), dim=1) for part in (q, k, v)), strict=True)
        mixed = torch.cat([attention.attend(*piece) for piece in pieces], dim=1)
    return mixed.reshape(len(qkv), -1)


def _fed(kernels: Kernels, block: Block, tokens: Tokens, x: Tensor) -> Tensor:
    """Run the feed-forward part on tokens [M, D] of `x`, -> what it adds, of the shape of `x`."""
    w13, w2 = block.feed_forward.w13, block.feed_forward.w2
    count = len(tokens.values)
    # Tokens that are not rounded lie where what becomes of them can lie.
    out = tokens.values if tokens.scales is None else torch.empty_like(x).view(count, -1)
    size = -(-count // parts(count))
    for start in range(0, count, size):
        rows = slice(start, start + size)
        some = Tokens(tokens.values[rows], None if tokens.scales is None else tokens.scales[rows])
        wide = x.new_empty(len(some.values), w13.out_features)
        _multiply(kernels, some, w13, wide)
        hidden = kernels.swiglu(wide, rounds=_rounds(w2))
        _multiply(kernels, hidden, w2, out[rows])
        # Gone before the next part needs as much.
        del wide, hidden
    return out.view(x.shape)


def _norm(norm: RMSNorm, factor: Tensor) -> Norm:
    return Norm(norm.weight, factor, norm.eps)


def _rounds(layer: nn.Module) -> bool:
    return isinstance(layer, Int8Linear)


def _multiply(kernels: Kernels, tokens: Tokens, layer: nn.Module, out: Tensor) -> None:
    """Multiply tokens [M, K] by the weight of a layer into `out`, [M, N]."""
    if isinstance(layer, Int8Linear):
        kernels.multiply(tokens, (layer.prepared, layer.scales), out)
    else:
        torch.mm(tokens.values, cast(Tensor, layer.weight).t(), out=out)
