"""How much memory the autoencoder needs, reckoned without PyTorch.

Counted are the maps and strips that are alive together at each layer; the largest sum is the
answer. Weights are not counted, nor the scratch memory of a convolution kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from engine.model.config import LATENT_SCALE, VaeConfig

FLOAT_BYTES = 4
PICTURE_CHANNELS = 3
QUERIES, PAGE, SCORE_BYTES, STATISTICS_BYTES = 1024, 4096, 32 * 2**20, 64 * 2**20
"""As in the modules that compute, which need PyTorch: `vae_attention` and `vae_strips`."""


def decode_footprint(
    config: VaeConfig, width: int, height: int, item_bytes: int, rows: int | None, on_host: bool
) -> int:
    """Return the most bytes that decoding one picture of `width` x `height` pixels holds at a time.

    `item_bytes` is the size of a number, `rows` that of a strip (None: whole maps); with `on_host`
    the maps lie in host memory, and what is returned is the device's part.
    """
    widths = config.block_out_channels[::-1]
    size = _Size(height // LATENT_SCALE, width // LATENT_SCALE, item_bytes, rows, on_host)
    peaks = [size.conv(config.latent_channels, widths[0])]
    peaks += [*size.resnet(widths[0], widths[0]), size.attention(widths[0])]
    for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
        peaks += size.resnet(before, after)
        peaks += size.resnet(after, after)
        if index < len(widths) - 1:
            peaks.append(size.upsample(after))
            size = size.doubled()
    peaks.append(size.conv(widths[-1], PICTURE_CHANNELS))
    cells = width * height // LATENT_SCALE**2
    return max(peaks) + 2 * item_bytes * config.latent_channels * cells


def encode_footprint(
    config: VaeConfig, width: int, height: int, item_bytes: int, rows: int | None, on_host: bool
) -> int:
    """Return the most bytes that encoding one picture holds at a time; else as for decoding."""
    widths = config.block_out_channels
    size = _Size(height, width, item_bytes, rows, on_host)
    picture = size.map(PICTURE_CHANNELS)
    peaks = [size.conv(PICTURE_CHANNELS, widths[0])]
    for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
        peaks += size.resnet(before, after)
        peaks += size.resnet(after, after)
        if index < len(widths) - 1:
            peaks.append(size.downsample(after))
            size = size.halved()
    peaks += [*size.resnet(widths[-1], widths[-1]), size.attention(widths[-1])]
    peaks.append(size.conv(widths[-1], 2 * config.latent_channels))
    return max(peaks) + picture


@dataclass(frozen=True, slots=True)
class _Size:
    """Maps of one size, and how they are cut."""

    height: int
    width: int
    item: int
    rows: int | None
    on_host: bool

    def doubled(self) -> _Size:
        return _Size(2 * self.height, 2 * self.width, self.item, self.rows, self.on_host)

    def halved(self) -> _Size:
        return _Size(self.height // 2, self.width // 2, self.item, self.rows, self.on_host)

    @property
    def strip(self) -> int:
        """Rows of a strip."""
        return min(self.rows or self.height, self.height)

    def map(self, channels: int) -> int:
        """Bytes of a whole map on the device."""
        return 0 if self.on_host else self.band(channels, self.height)

    def band(self, channels: int, rows: int) -> int:
        return channels * rows * self.width * self.item

    def statistics(self, channels: int) -> int:
        """Bytes of what group-norm statistics are taken from."""
        line = channels * self.width
        rows = STATISTICS_BYTES // (FLOAT_BYTES * line) if self.rows is None else self.strip // 2
        rows = min(self.height, max(1, rows))
        return line * rows * (FLOAT_BYTES + self.item * self.on_host)

    def conv(self, before: int, after: int, *, added: int = 0) -> int:
        """Bytes of a norm, a convolution and `added` channels that come to be added to it."""
        strip = self.strip
        window, done = self.band(before, strip + 2), self.band(after, strip)
        brought = self.band(before, strip + 1) if self.on_host else 0
        adding = self.band(added, strip)
        whole = self.map(before) + (0 if strip == self.height else self.map(after))
        weight = 9 * before * after * self.item
        if strip == self.height:
            return whole + max(self.statistics(before), window + brought + weight + done, adding)
        cut = window + weight + max(brought, done + max(adding, self.band(before, 2)))
        return whole + max(self.statistics(before), cut)

    def resnet(self, before: int, after: int) -> Iterator[int]:
        yield self.conv(before, after)
        # What the second convolution reads and what it writes are one map, which stands for both.
        added = before * self.on_host + after * (before != after)
        yield self.map(before) + self.conv(after, after, added=added) - self._saved(after)

    def _saved(self, channels: int) -> int:
        return 0 if self.strip == self.height else self.map(channels)

    def upsample(self, channels: int) -> int:
        large = self.doubled()
        strip = large.strip
        window, done = large.band(channels, strip + 2), large.band(channels, strip)
        twice = large.band(channels, strip + 3) + self.band(channels, strip // 2 + 2) * self.on_host
        weight = 9 * channels * channels * self.item
        whole = self.map(channels) + (0 if strip == large.height else large.map(channels))
        return whole + window + weight + max(twice, done)

    def downsample(self, channels: int) -> int:
        small = self.halved()
        strip = min(small.height, max(1, (self.rows or self.height) // 2))
        taken = self.band(channels, 2 * strip + 1) * self.on_host
        padded = channels * (2 * strip + 1) * (self.width + 1) * self.item
        weight = 9 * channels * channels * self.item
        working = taken + padded + weight + small.band(channels, strip)
        return self.map(channels) + small.map(channels) + working

    def attention(self, channels: int) -> int:
        """Bytes of the mid block's attention, also where the device has no fused kernel."""
        cells = self.height * self.width
        if not self.on_host:
            scores = 3 * min(SCORE_BYTES, FLOAT_BYTES * cells**2)
            return 8 * self.map(channels) + scores + 3 * FLOAT_BYTES * cells * channels
        asked, page = min(cells, QUERIES), min(cells, PAGE)
        scores = FLOAT_BYTES * asked * page
        values = channels * page * (FLOAT_BYTES + self.item)
        return scores + values + channels * asked * (4 * FLOAT_BYTES + self.item)
