"""Layers of the autoencoder, able to run a large picture in strips of rows.

Only convolutions are cut into strips; group-norm statistics are always those of the whole map. So
a decode in strips computes the same numbers as one in a single piece: there are no seams to hide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6


def _nothing() -> None:
    """Default `on_strip` hook."""


@dataclass(frozen=True, slots=True)
class Strips:
    """How a map is cut: at most `rows` output rows at a time (None = one piece).

    `on_strip` runs before each strip; it may raise to cancel.
    """

    rows: int | None = None
    on_strip: Callable[[], None] = _nothing


WHOLE = Strips()


class NormActConv(nn.Module):
    """Group norm, SiLU, 3 x 3 convolution."""

    def __init__(self, norm: nn.GroupNorm, conv: nn.Conv2d) -> None:
        super().__init__()
        self.norm = norm
        self.conv = conv

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H, W]."""
        if strips.rows is None or x.shape[-2] <= strips.rows:
            strips.on_strip()
            whole: Tensor = self.conv(F.silu(self.norm(x)))
            return whole
        scale, shift = _norm_terms(self.norm, x)

        def prepare(part: Tensor) -> Tensor:
            # In float32 up to the activation, as group norm itself computes.
            return F.silu(torch.addcmul(shift, part.float(), scale).to(part.dtype))

        return _conv_in_strips(self.conv, x, strips, prepare)


class ResnetBlock(nn.Module):
    """Two norm-SiLU-convolution stages around a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.stage1 = _stage(in_channels, out_channels, groups)
        self.stage2 = _stage(out_channels, out_channels, groups)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None
        )

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H, W]."""
        hidden: Tensor = self.stage2(self.stage1(x, strips), strips)
        return hidden + (x if self.shortcut is None else self.shortcut(x))


class SpatialAttention(nn.Module):
    """Single-head self-attention over all cells of a map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=NORM_EPS)
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the cells of a map, [B, C, H, W] -> [B, C, H, W]."""
        cells = self.norm(x).flatten(2).transpose(1, 2).unsqueeze(1)
        mixed = F.scaled_dot_product_attention(self.q(cells), self.k(cells), self.v(cells))
        change: Tensor = self.out(mixed.squeeze(1))
        mixed_in: Tensor = x + change.transpose(1, 2).unflatten(2, x.shape[-2:])
        return mixed_in


class MidBlock(nn.Module):
    """Resnet, attention, resnet at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnet1 = ResnetBlock(channels, channels, groups)
        self.attention = SpatialAttention(channels, groups)
        self.resnet2 = ResnetBlock(channels, channels, groups)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C, H, W]."""
        x = self.resnet2(self.attention(self.resnet1(x, strips)), strips)
        return x


class Downsample(nn.Module):
    """Halve a map with a strided convolution, padded on the right and the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Halve both sides, [B, C, H, W] -> [B, C, H/2, W/2]."""
        x = self.conv(F.pad(x, (0, 1, 0, 1)))
        return x


class Upsample(nn.Module):
    """Double a map by repetition, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Double both sides, [B, C, H, W] -> [B, C, 2H, 2W]."""
        doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if strips.rows is None or doubled.shape[-2] <= strips.rows:
            strips.on_strip()
            whole: Tensor = self.conv(doubled)
            return whole
        return _conv_in_strips(self.conv, doubled, strips, lambda part: part)


def _stage(in_channels: int, out_channels: int, groups: int) -> NormActConv:
    norm = nn.GroupNorm(groups, in_channels, eps=NORM_EPS)
    return NormActConv(norm, nn.Conv2d(in_channels, out_channels, 3, padding=1))


def _norm_terms(norm: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Fold a group norm over `x`, [B, C, H, W], into float32 scale and shift, [B, C, 1, 1]."""
    count, channels = x.shape[:2]
    groups = x.reshape(count, norm.num_groups, -1)
    variance, mean = torch.var_mean(groups.float(), dim=-1, correction=0)
    per_group = channels // norm.num_groups
    inverse = (variance + norm.eps).rsqrt().repeat_interleave(per_group, dim=1)
    scale = inverse * norm.weight.float()
    shift = norm.bias.float() - mean.repeat_interleave(per_group, dim=1) * scale
    return scale[..., None, None], shift[..., None, None]


def _conv_in_strips(
    conv: nn.Conv2d, x: Tensor, strips: Strips, prepare: Callable[[Tensor], Tensor]
) -> Tensor:
    """Convolve `prepare(x)`, [B, C, H, W] -> [B, C', H, W], a strip of rows at a time."""
    height = x.shape[-2]
    out = x.new_empty(x.shape[0], conv.out_channels, *x.shape[-2:])
    for top in range(0, height, strips.rows or height):
        strips.on_strip()
        bottom = min(top + (strips.rows or height), height)
        first, last = max(top - 1, 0), min(bottom + 1, height)
        part = prepare(x[..., first:last, :])
        part = F.pad(part, (1, 1, int(first == top), int(last == bottom)))
        out[..., top:bottom, :] = F.conv2d(part, conv.weight, conv.bias)
    return out
