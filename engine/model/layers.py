"""Building blocks of the S3-DiT: norm, attention, feed-forward, and the sandwich block.

Tokens are [G, T, D]. A dense batch has one sequence a row (`lengths` is None); a ragged batch is
one row (G = 1) whose T axis holds sequences of the given lengths one after another, so that no
mask and no padding is ever needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.attention import Attend
from engine.model.config import TransformerConfig
from engine.model.footprint import PRODUCT_TOKENS
from engine.model.parts import tokenwise
from engine.model.rope import Rotation, rotate
from engine.model.tiled import native

QK_NORM_EPS = 1e-5
HALF_LARGEST, HALF_SMALLEST = 4096.0, 1e-30
"""What values are brought to before they become float16, and the least they are divided by."""


class BlockModulation(NamedTuple):
    """What the time step does to one block: four tensors broadcastable to [G, T, D].

    The scales already hold `1 + s` and the gates `tanh(g)`.
    """

    attention_scale: Tensor
    attention_gate: Tensor
    ffn_scale: Tensor
    ffn_gate: Tensor


class Mixture(NamedTuple):
    """Two times in one sequence: where `is_clean`, [G or 1, T, 1] bool, tokens are of pictures."""

    noisy: BlockModulation
    clean: BlockModulation
    is_clean: Tensor


Change = BlockModulation | Mixture
"""What time does to the tokens of a block."""

Tokenwise = Callable[..., Tensor]
"""What treats each token alone, [G, T, D] -> [G, T, D]; perhaps with more that is known of each."""

BlockForm = Callable[["Block", Tensor, Rotation, Sequence[int] | None, Change | None], Tensor]
"""A way to compute a block: what `Block.forward` does."""


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned weight and no bias (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of `x`, [..., dim]; the variance is taken in float32."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def _as_it_is(x: Tensor) -> Tensor:
    return x


class Attention(nn.Module):
    """Multi-head self-attention with per-head RMS norm of queries and keys before RoPE.

    Which kernel mixes is `attend`. Where `in_half` is set, what is float32 is mixed in float16
    without overflow.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attend: Attend = native()
        self.in_half = False
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.q_norm = RMSNorm(config.head_dim, QK_NORM_EPS)
        self.k_norm = RMSNorm(config.head_dim, QK_NORM_EPS)

    def forward(
        self,
        x: Tensor,
        angles: Rotation,
        lengths: Sequence[int] | None,
        first: Tokenwise = _as_it_is,
        beside: Sequence[Tensor] = (),
    ) -> Tensor:
        """Mix the tokens of each sequence of `first(x, *beside)`, [G, T, D] -> [G, T, D]."""
        q, k, v = (
            self.qkv(tokenwise(first, x, *beside)).unflatten(-1, (3, -1, self.head_dim)).unbind(-3)
        )
        q, k = _rotated(self.q_norm, q, angles), _rotated(self.k_norm, k, angles)
        step = None
        if self.in_half:
            # Queries and keys are normed; a mean of values is no larger than the largest of them.
            step = v.abs().amax().clamp_min(HALF_SMALLEST) / HALF_LARGEST
            q, k, v = q.half(), k.half(), tokenwise(partial(_in_steps, step), v)
        mixed = self._mix(q, k, v, lengths)
        del q, k, v
        if step is not None:
            mixed = mixed.float().mul_(step)
        out: Tensor = self.out(mixed)
        return out

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int] | None) -> Tensor:
        """Attend within each sequence: three [G, T, heads, head_dim] -> [G, T, D]."""
        if lengths is None:
            return self.attend(q, k, v).flatten(-2)
        pieces = zip(*(part.split(list(lengths), dim=1) for part in (q, k, v)), strict=True)
        return torch.cat([self.attend(*piece) for piece in pieces], dim=1).flatten(-2)


def _rotated(norm: RMSNorm, x: Tensor, angles: Rotation) -> Tensor:
    """Norm and rotate queries or keys [G, T, heads, head_dim], in their place."""

    def work(part: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return rotate(norm(part), Rotation(cos, sin))

    return tokenwise(work, x, angles.cos, angles.sin, out=x)


def _in_steps(step: Tensor, x: Tensor) -> Tensor:
    """Return values [G, T, heads, head_dim] in steps of a size, float16."""
    return (x / step).half()


class FeedForward(nn.Module):
    """SwiGLU feed-forward (arXiv 2002.05202); `w13` holds gate and value in one matrix."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.w13 = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.w2 = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(
        self, x: Tensor, first: Tokenwise = _as_it_is, beside: Sequence[Tensor] = ()
    ) -> Tensor:
        """Transform each token of `first(x, *beside)`, [G, T, D] -> [G, T, D]."""

        def gated(*part: Tensor) -> Tensor:
            gate, value = self.w13(tokenwise(first, *part)).chunk(2, dim=-1)
            return tokenwise(_swiglu, gate, value, out=gate)

        # One layer after the other, so that each needs its weight only once.
        out: Tensor = self.w2(tokenwise(gated, x, *beside, most=PRODUCT_TOKENS))
        return out


def _swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """Gate values, both [G, T, ffn_dim]; without gradients in place of the gate."""
    if torch.is_grad_enabled():
        return F.silu(gate) * value
    return F.silu(gate, inplace=True).mul_(value)


class Block(nn.Module):
    """One transformer block with norms before and after each half ("sandwich").

    How it is computed is its `form`.
    """

    def __init__(self, config: TransformerConfig, *, modulated: bool) -> None:
        super().__init__()
        dim, eps = config.dim, config.norm_eps
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm1 = RMSNorm(dim, eps)
        self.attention_norm2 = RMSNorm(dim, eps)
        self.ffn_norm1 = RMSNorm(dim, eps)
        self.ffn_norm2 = RMSNorm(dim, eps)
        self.modulation = nn.Linear(config.adaln_dim, 4 * dim) if modulated else None
        self.form: BlockForm = plain

    def modulate(self, time_embedding: Tensor) -> BlockModulation:
        """Turn time embeddings [S, adaln_dim] into this block's modulation, each [S, 1, D]."""
        if self.modulation is None:
            raise TypeError("this block is not modulated by time")
        scale1, gate1, scale2, gate2 = self.modulation(time_embedding).unsqueeze(1).chunk(4, dim=-1)
        return BlockModulation(1 + scale1, gate1.tanh(), 1 + scale2, gate2.tanh())

    def forward(
        self,
        x: Tensor,
        angles: Rotation,
        lengths: Sequence[int] | None = None,
        modulation: Change | None = None,
    ) -> Tensor:
        """Run the block over tokens `x`, [G, T, D] -> [G, T, D]; `x` itself is not changed."""
        return self.form(self, x, angles, lengths, modulation)


def plain(
    block: Block,
    x: Tensor,
    angles: Rotation,
    lengths: Sequence[int] | None,
    modulation: Change | None,
) -> Tensor:
    """Compute a block with operations of PyTorch, tokens `x` [G, T, D] -> [G, T, D]."""
    levels, beside = _levels(modulation)
    scale1, gate1, scale2, gate2 = levels
    first = partial(_scaled, block.attention_norm1, scale1)
    mixed = block.attention(x, angles, lengths, first, beside)
    x = _added(block.attention_norm2, (x, mixed, *beside), gate1, out=mixed)
    del mixed
    change = block.feed_forward(x, partial(_scaled, block.ffn_norm1, scale2), beside)
    return _added(block.ffn_norm2, (x, change, *beside), gate2, out=x)


Level = tuple[Tensor, ...]
"""What scales or gates tokens, [S, 1, D] each: nothing, one for all, or that of noisy and that of
clean ones."""


def _levels(modulation: Change | None) -> tuple[Sequence[Level], Sequence[Tensor]]:
    """Return the four levels of a block, and what tells of each token which of them is its own."""
    if modulation is None:
        return ((),) * 4, ()
    if isinstance(modulation, BlockModulation):
        return [(each,) for each in modulation], ()
    pairs = zip(modulation.noisy, modulation.clean, strict=True)
    return list(pairs), (modulation.is_clean,)


def _leveled(x: Tensor, level: Level, is_clean: Sequence[Tensor]) -> Tensor:
    """Multiply tokens [G, T, D] by their level; is_clean: [G or 1, T, 1] where there are two."""
    if not is_clean:
        return level[0] * x if level else x
    noisy, clean = level
    return torch.where(is_clean[0], clean, noisy) * x


def _scaled(norm: RMSNorm, scale: Level, x: Tensor, *is_clean: Tensor) -> Tensor:
    """Norm tokens [G, T, D] and scale them."""
    return _leveled(norm(x), scale, is_clean)


def _added(norm: RMSNorm, inputs: Sequence[Tensor], gate: Level, *, out: Tensor) -> Tensor:
    """Add a normed change to tokens as far as it is let through; both come first, [G, T, D]."""

    def work(part: Tensor, some: Tensor, *is_clean: Tensor) -> Tensor:
        return part + _leveled(norm(some), gate, is_clean)

    return tokenwise(work, *inputs, out=out)
