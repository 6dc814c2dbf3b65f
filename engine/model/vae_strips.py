"""Convolutions over a map that is too large to be held twice: a strip of rows at a time.

A strip is prepared (normalised, say), convolved and put away before the next one is touched. Rows
at a cut are prepared once and handed on to the next strip; so a map may be written over the map
that it is made of. Where the maps lie in host memory, strips travel to the weights and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STATISTICS_BYTES = 64 * 2**20
"""Size of the float32 copy that group-norm statistics are taken from at a time, uncut."""


def _nothing() -> None:
    """Default `on_strip` hook."""


@dataclass(frozen=True, slots=True)
class Strips:
    """How a map is cut: at most `rows` output rows at a time (None = one piece).

    `on_strip` runs before each strip; it may raise to cancel. With `on_host` the maps between the
    layers lie in host memory, and the device holds a few strips of them.
    """

    rows: int | None = None
    on_strip: Callable[[], None] = _nothing
    on_host: bool = False

    def cut(self, height: int) -> Iterator[tuple[int, int]]:
        """Yield first and last row (excluded) of each strip of a map `height` rows high."""
        rows = self.rows or height
        for top in range(0, height, rows):
            self.on_strip()
            yield top, min(top + rows, height)

    def home(self, device: torch.device) -> torch.device:
        """Return where the maps lie of a network on `device`."""
        return torch.device("cpu") if self.on_host else device


WHOLE = Strips()

Fetch = Callable[[int, int, Tensor], object]
"""Writes rows first to last (excluded) of a convolution's input into a tensor [B, C, rows, W]."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a convolution reads, of shape [B, C, H, W], and what is added to what it gives.

    `over` is the map that the result may replace.
    """

    shape: Sequence[int]
    fetch: Fetch
    added: Callable[[int, int], Tensor] | None = None
    over: Tensor | None = None


def band(x: Tensor, first: int, last: int) -> Tensor:
    """Return a view of rows first to last (excluded), [B, C, H, W] -> [B, C, last - first, W]."""
    return x.narrow(-2, first, last - first)


def layout(weight: Tensor) -> torch.memory_format:
    """Return how maps lie that weights [C', C, 3, 3] read: their channels last on CUDA in 16 bit.

    Its half-precision kernels read that order, and a strip then is one stretch of memory. The
    processor keeps the plain order: its group norm is inexact over the other one.
    """
    halves = weight.dtype in {torch.bfloat16, torch.float16}
    return torch.channels_last if weight.is_cuda and halves else torch.contiguous_format


def in_one_piece(height: int, weight: Tensor, strips: Strips) -> bool:
    """Say whether a map of `height` rows needs no strips before weights [C', C, 3, 3]."""
    fits = strips.rows is None or height <= strips.rows
    return fits and not strips.on_host and layout(weight) is torch.contiguous_format


def convolve(conv: nn.Conv2d, source: Source, strips: Strips) -> Tensor:
    """Convolve 3 x 3 with a margin of zeros, [B, C, H, W] -> [B, C', H, W], strip by strip."""
    done = _convolved(conv, source, strips)
    if not strips.on_host and (strips.rows is None or strips.rows >= source.shape[2]):
        return next(done)[2]
    out = source.over
    if out is None:
        home = strips.home(conv.weight.device)
        out = _empty(conv, source, (conv.out_channels, source.shape[2]), home)
    for top, bottom, rows in done:
        band(out, top, bottom).copy_(rows)
        del rows
    return out


def _convolved(
    conv: nn.Conv2d, source: Source, strips: Strips
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield first and last row (excluded) and the rows [B, C', rows, W] of each strip."""
    height, weight = source.shape[2], conv.weight.to(memory_format=layout(conv.weight))
    rows = min(strips.rows or height, height)
    window = _empty(conv, source, (conv.in_channels, rows + 2), weight.device)
    band(window, 0, 1).zero_()
    fetched = 0
    for top, bottom in strips.cut(height):
        last, filled = min(bottom + 1, height), bottom - top + 2
        start = 2 if top else 1
        stop = start + last - fetched
        if fetched < last:
            source.fetch(fetched, last, band(window, start, stop))
        band(window, stop, filled).zero_()
        done = F.conv2d(band(window, 0, filled), weight, conv.bias, padding=(0, 1))
        if bottom == height:
            del window
        else:
            band(window, 0, 2).copy_(band(window, filled - 2, filled).clone())
        if source.added is not None:
            done += source.added(top, bottom)
        yield top, bottom, done
        del done
        fetched = last


def halve(conv: nn.Conv2d, x: Tensor, strips: Strips) -> Tensor:
    """Convolve 3 x 3 with stride 2, [B, C, H, W] -> [B, C', H/2, W/2], zeros right and below."""
    count, _, height, width = x.shape
    device, order = conv.weight.device, layout(conv.weight)
    weight = conv.weight.to(memory_format=order)
    shape = (count, conv.out_channels, height // 2, width // 2)
    home = strips.home(device)
    out = torch.empty(shape, dtype=weight.dtype, device=home, memory_format=order)
    halved = Strips(strips.rows and max(1, strips.rows // 2), strips.on_strip)
    for top, bottom in halved.cut(height // 2):
        rows = band(x, 2 * top, min(2 * bottom + 1, height)).to(device)
        missing = 2 * (bottom - top) + 1 - rows.shape[-2]
        padded = F.pad(rows, (0, 1, 0, missing))
        band(out, top, bottom).copy_(F.conv2d(padded, weight, conv.bias, stride=2))
    return out


def norm_terms(norm: nn.GroupNorm, x: Tensor, strips: Strips) -> tuple[Tensor, Tensor]:
    """Fold a group norm over all of `x`, [B, C, H, W], into float32 scale and shift, [B, C, 1, 1].

    Sums are taken about the mean of the first rows, a few rows at a time: so nothing cancels and
    no float32 copy of the map arises.
    """
    device, groups = norm.weight.device, norm.num_groups
    count, channels, height, width = x.shape
    most = max(1, STATISTICS_BYTES // (4 * count * channels * width))
    rows = most if strips.rows is None else max(1, strips.rows // 2)
    first = band(x, 0, 1).to(device).float().unflatten(1, (groups, -1))
    near = first.mean((2, 3, 4), keepdim=True)
    total, squares = [], []
    for part in x.split(rows, dim=-2):
        away = part.to(device).unflatten(1, (groups, -1)) - near
        total.append(away.sum((2, 3, 4)))
        squares.append(away.square_().sum((2, 3, 4)))
        del away
    numbers = channels // groups * height * width
    offset = torch.stack(total).sum(0) / numbers
    variance = torch.stack(squares).sum(0) / numbers - offset.square()
    mean = near.reshape(count, groups) + offset
    inverse = (variance.clamp_min(0) + norm.eps).rsqrt().repeat_interleave(channels // groups, 1)
    scale = inverse * norm.weight.float()
    shift = norm.bias.float() - mean.repeat_interleave(channels // groups, 1) * scale
    return scale.unflatten(1, (-1, 1, 1)), shift.unflatten(1, (-1, 1, 1))


def _empty(conv: nn.Conv2d, source: Source, size: tuple[int, int], device: torch.device) -> Tensor:
    """Return room for a map of `size` channels and rows."""
    shape = (source.shape[0], *size, source.shape[3])
    order = layout(conv.weight)
    return torch.empty(shape, dtype=conv.weight.dtype, device=device, memory_format=order)
