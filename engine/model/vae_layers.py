"""Layers of the autoencoder, able to run a large picture in strips of rows.

Only convolutions are cut into strips; group-norm statistics are always those of the whole map. So
a decode in strips computes the same numbers as one in a single piece: there are no seams to hide.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.vae_attention import QUERIES, attend, attend_in_pages
from engine.model.vae_strips import WHOLE as WHOLE
from engine.model.vae_strips import Source, band, convolve, halve, in_one_piece, norm_terms
from engine.model.vae_strips import Strips as Strips

NORM_EPS = 1e-6


class PaddedConv(nn.Conv2d):
    """A 3 x 3 convolution with a margin of zeros, able to run in strips."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H, W]."""
        if in_one_piece(x.shape[-2], self.weight, strips):
            strips.on_strip()
            return super().forward(x)

        def fetch(first: int, last: int, into: Tensor) -> None:
            into.copy_(band(x, first, last))

        return convolve(self, Source(x.shape, fetch), strips)


class NormActConv(nn.Module):
    """Group norm, SiLU, 3 x 3 convolution."""

    def __init__(self, norm: nn.GroupNorm, conv: nn.Conv2d) -> None:
        super().__init__()
        self.norm = norm
        self.conv = conv

    def forward(
        self,
        x: Tensor,
        strips: Strips = WHOLE,
        *,
        added: Callable[[int, int], Tensor] | None = None,
        spent: bool = False,
    ) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H, W].

        `added` gives rows [B, C', rows, W] to add to the result; a map that is `spent` may be
        written over.
        """
        if in_one_piece(x.shape[-2], self.conv.weight, strips):
            strips.on_strip()
            whole: Tensor = self.conv(F.silu(self.norm(x), inplace=True))
            return whole if added is None else whole.add_(added(0, x.shape[-2]))
        scale, shift = norm_terms(self.norm, x, strips)

        def fetch(first: int, last: int, into: Tensor) -> None:
            # In float32 up to the activation, as group norm itself computes.
            torch.addcmul(shift, band(x, first, last).to(into.device), scale, out=into)
            F.silu(into, inplace=True)

        over = x if spent and self.conv.in_channels == self.conv.out_channels else None
        return convolve(self.conv, Source(x.shape, fetch, added=added, over=over), strips)


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

        def added(top: int, bottom: int) -> Tensor:
            rows = band(x, top, bottom).to(self.stage2.conv.weight.device)
            return rows if self.shortcut is None else self.shortcut(rows)

        hidden: Tensor = self.stage2(self.stage1(x, strips), strips, added=added, spent=True)
        return hidden


class SpatialAttention(nn.Module):
    """Single-head self-attention over all cells of a map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=NORM_EPS)
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Mix the cells of a map, [B, C, H, W] -> [B, C, H, W]."""
        if strips.on_host:
            return self._page_by_page(x, strips)
        cells = self.norm(x).flatten(2).transpose(1, 2)
        change: Tensor = self.out(attend(self.q(cells), self.k(cells), self.v(cells)))
        mixed_in: Tensor = x + change.transpose(1, 2).unflatten(2, x.shape[-2:])
        return mixed_in

    def _page_by_page(self, x: Tensor, strips: Strips) -> Tensor:
        """Write what is mixed over the map, [B, C, H, W], that lies in host memory."""
        device = self.norm.weight.device
        scale, shift = norm_terms(self.norm, x, strips)
        cells, terms = x.flatten(2).transpose(1, 2), (scale.flatten(2).mT, shift.flatten(2).mT)
        parts: list[tuple[Tensor, ...]] = []
        for part in cells.split(QUERIES, dim=1):
            strips.on_strip()
            normed = torch.addcmul(terms[1], part.to(device), terms[0]).to(x.dtype)
            parts.append(tuple(layer(normed).to(x.device) for layer in (self.q, self.k, self.v)))
        q, k, v = (torch.cat(kind, dim=1) for kind in zip(*parts, strict=True))
        for part, queries in zip(cells.split(QUERIES, dim=1), q.split(QUERIES, dim=1), strict=True):
            strips.on_strip()
            part += self.out(attend_in_pages(queries.to(device), k, v)).to(x.device)
        return x


class MidBlock(nn.Module):
    """Resnet, attention, resnet at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnet1 = ResnetBlock(channels, channels, groups)
        self.attention = SpatialAttention(channels, groups)
        self.resnet2 = ResnetBlock(channels, channels, groups)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C, H, W]."""
        x = self.resnet2(self.attention(self.resnet1(x, strips), strips), strips)
        return x


class Downsample(nn.Module):
    """Halve a map with a strided convolution, padded on the right and the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Halve both sides, [B, C, H, W] -> [B, C, H/2, W/2]."""
        if in_one_piece(x.shape[-2], self.conv.weight, strips):
            strips.on_strip()
            halved: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
            return halved
        return halve(self.conv, x, strips)


class Upsample(nn.Module):
    """Double a map by repetition, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Double both sides, [B, C, H, W] -> [B, C, 2H, 2W]."""
        count, channels, height, width = x.shape
        if in_one_piece(2 * height, self.conv.weight, strips):
            strips.on_strip()
            whole: Tensor = self.conv(_doubled(x))
            return whole

        def fetch(first: int, last: int, into: Tensor) -> None:
            rows = _doubled(band(x, first // 2, (last + 1) // 2).to(into.device))
            into.copy_(band(rows, first % 2, first % 2 + last - first))

        shape = (count, channels, 2 * height, 2 * width)
        return convolve(self.conv, Source(shape, fetch), strips)


def _stage(in_channels: int, out_channels: int, groups: int) -> NormActConv:
    norm = nn.GroupNorm(groups, in_channels, eps=NORM_EPS)
    return NormActConv(norm, nn.Conv2d(in_channels, out_channels, 3, padding=1))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
