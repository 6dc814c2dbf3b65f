"""The FLUX-type autoencoder: pictures to 16-channel latents at an eighth of the size, and back."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.model.config import VaeConfig
from engine.model.vae_layers import (
    NORM_EPS,
    Downsample,
    MidBlock,
    NormActConv,
    PaddedConv,
    ResnetBlock,
    Upsample,
)
from engine.model.vae_strips import WHOLE, Strips

PICTURE_CHANNELS = 3


class Held:
    """A map that whoever takes it holds alone: a call keeps its arguments alive to its end."""

    def __init__(self, x: Tensor) -> None:
        """Hold a map [B, C, H, W]."""
        self._maps = [x]

    def take(self) -> Tensor:
        """Return the map [B, C, H, W], once."""
        return self._maps.pop()


class EncoderStage(nn.Module):
    """Resnets at one resolution, then a halving except at the last stage."""

    def __init__(self, resnets: list[ResnetBlock], downsample: Downsample | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.downsample = downsample

    def forward(self, held: Held, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H/2, W/2] (or unhalved)."""
        x = held.take()
        for resnet in self.resnets:
            x = resnet(x, strips)
        return x if self.downsample is None else self.downsample(x, strips)


class DecoderStage(nn.Module):
    """Resnets at one resolution, then a doubling except at the last stage."""

    def __init__(self, resnets: list[ResnetBlock], upsample: Upsample | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.upsample = upsample

    def forward(self, held: Held, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', 2H, 2W] (or undoubled)."""
        x = held.take()
        for resnet in self.resnets:
            x = resnet(x, strips)
        return x if self.upsample is None else self.upsample(x, strips)


class Encoder(nn.Module):
    """Picture to the moments of its latent distribution."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = PaddedConv(PICTURE_CHANNELS, widths[0])
        self.stages = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
            halved = index < len(widths) - 1
            resnets = _resnets(before, after, config.layers_per_block, groups)
            self.stages.append(EncoderStage(resnets, Downsample(after) if halved else None))
        self.mid = MidBlock(widths[-1], groups)
        self.out = _head(widths[-1], 2 * config.latent_channels, groups)

    def forward(self, pictures: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Encode [B, 3, H, W] in -1..1 to moments [B, 32, H/8, W/8]."""
        held = Held(self.conv_in(pictures, strips))
        for stage in self.stages:
            held = Held(stage(held, strips))
        moments: Tensor = self.out(self.mid(held.take(), strips), strips)
        return moments


class Decoder(nn.Module):
    """Latents to a picture."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = PaddedConv(config.latent_channels, widths[0])
        self.mid = MidBlock(widths[0], groups)
        self.stages = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
            doubled = index < len(widths) - 1
            resnets = _resnets(before, after, config.layers_per_block + 1, groups)
            self.stages.append(DecoderStage(resnets, Upsample(after) if doubled else None))
        self.out = _head(widths[-1], PICTURE_CHANNELS, groups)

    def forward(self, latents: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Decode unscaled latents [B, 16, h, w] to [B, 3, 8h, 8w]."""
        held = Held(self.mid(self.conv_in(latents, strips), strips))
        for stage in self.stages:
            held = Held(stage(held, strips))
        picture: Tensor = self.out(held.take(), strips)
        return picture


class Vae(nn.Module):
    """Autoencoder whose latents are shifted and scaled to about unit variance."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, pictures: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Return the mode of the posterior, [B, 3, H, W] in -1..1 -> [B, 16, H/8, W/8].

        `strips` is as for `decode`; the latents lie where the maps do.
        """
        mean: Tensor = self.encoder(pictures, strips).chunk(2, dim=1)[0]
        return (mean - self.config.shift_factor) * self.config.scaling_factor

    def decode(self, latents: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Return pictures [B, 3, 8h, 8w], about -1..1, of latents [B, 16, h, w].

        `strips` bounds the memory of the convolutions and lets the caller cancel between strips.
        The pictures lie where the maps do: in host memory if `strips` says so.
        """
        unscaled = latents / self.config.scaling_factor + self.config.shift_factor
        pictures: Tensor = self.decoder(unscaled, strips)
        return pictures


def _resnets(before: int, after: int, count: int, groups: int) -> list[ResnetBlock]:
    return [ResnetBlock(before if i == 0 else after, after, groups) for i in range(count)]


def _head(channels: int, out_channels: int, groups: int) -> NormActConv:
    norm = nn.GroupNorm(groups, channels, eps=NORM_EPS)
    return NormActConv(norm, nn.Conv2d(channels, out_channels, 3, padding=1))


def to_picture_range(decoded: Tensor) -> Tensor:
    """Turn decoder output [B, 3, H, W] into uint8 pictures [B, H, W, 3], rounded to nearest."""
    scaled = (decoded.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
