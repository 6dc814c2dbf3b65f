"""Building blocks of the S3-DiT: norm, attention, feed-forward, and the sandwich block.

Tokens are [G, T, D]. A dense batch has one sequence a row (`lengths` is None); a ragged batch is
one row (G = 1) whose T axis holds sequences of the given lengths one after another, so that no
mask and no padding is ever needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.config import TransformerConfig
from engine.model.rope import Rotation, rotate

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


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned weight and no bias (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of `x`, [..., dim]; the variance is taken in float32."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Multi-head self-attention with per-head RMS norm of queries and keys before RoPE.

    Where `in_half` is set, what is float32 is mixed in float16 without overflow.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.in_half = False
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.q_norm = RMSNorm(config.head_dim, QK_NORM_EPS)
        self.k_norm = RMSNorm(config.head_dim, QK_NORM_EPS)

    def forward(self, x: Tensor, angles: Rotation, lengths: Sequence[int] | None) -> Tensor:
        """Mix the tokens of each sequence of `x`, [G, T, D] -> [G, T, D]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, self.head_dim)).unbind(-3)
        q, k = rotate(self.q_norm(q), angles), rotate(self.k_norm(k), angles)
        mix = _mix_in_half if self.in_half else _mix
        mixed = mix(q, k, v, lengths)
        out: Tensor = self.out(mixed)
        return out


def _mix(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int] | None) -> Tensor:
    """Softmax attention within each sequence: three [G, T, heads, head_dim] -> [G, T, D]."""
    return _attend(q, k, v) if lengths is None else _attend_apart(q, k, v, lengths)


def _mix_in_half(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int] | None) -> Tensor:
    """Do what `_mix` does to float32 [G, T, heads, head_dim] in float16.

    Queries and keys are normed, and a mean of values is no larger than the largest of them.
    """
    step = v.abs().amax().clamp_min(HALF_SMALLEST) / HALF_LARGEST
    return _mix(q.half(), k.half(), (v / step).half(), lengths).float() * step


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention within each row: three [G, T, heads, head_dim] -> [G, T, D]."""
    # Heads laid out one after another: a tenth less time in the CPU's kernel than strided ones.
    q, k, v = (part.transpose(1, 2).contiguous() for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)


def _attend_apart(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Softmax attention within each sequence of one ragged row: three [1, N, heads, head_dim]."""
    pieces = zip(*(part.split(list(lengths), dim=1) for part in (q, k, v)), strict=True)
    return torch.cat([_attend(*piece) for piece in pieces], dim=1)


class FeedForward(nn.Module):
    """SwiGLU feed-forward (arXiv 2002.05202); `w13` holds gate and value in one matrix."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.w13 = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.w2 = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token of `x`, [G, T, D] -> [G, T, D]."""
        gate, value = self.w13(x).chunk(2, dim=-1)
        out: Tensor = self.w2(F.silu(gate) * value)
        return out


class Block(nn.Module):
    """One transformer block with norms before and after each half ("sandwich")."""

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
        modulation: BlockModulation | None = None,
    ) -> Tensor:
        """Run the block over tokens `x`, [G, T, D] -> [G, T, D]."""
        if modulation is None:
            x = x + self.attention_norm2(self.attention(self.attention_norm1(x), angles, lengths))
            x = x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
            return x
        scale1, gate1, scale2, gate2 = modulation
        mixed = self.attention(self.attention_norm1(x) * scale1, angles, lengths)
        x = x + gate1 * self.attention_norm2(mixed)
        x = x + gate2 * self.ffn_norm2(self.feed_forward(self.ffn_norm1(x) * scale2))
        return x
