"""The FLUX-type autoencoder: pictures to 16-channel latents at an eighth of the size, and back."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.model.config import VaeConfig
from engine.model.vae_layers import (
    NORM_EPS,
    WHOLE,
    Downsample,
    MidBlock,
    NormActConv,
    ResnetBlock,
    Strips,
    Upsample,
)

PICTURE_CHANNELS = 3


class EncoderStage(nn.Module):
    """Resnets at one resolution, then a halving except at the last stage."""

    def __init__(self, resnets: list[ResnetBlock], downsample: Downsample | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', H/2, W/2] (or unhalved)."""
        for resnet in self.resnets:
            x = resnet(x)
        return x if self.downsample is None else self.downsample(x)


class DecoderStage(nn.Module):
    """Resnets at one resolution, then a doubling except at the last stage."""

    def __init__(self, resnets: list[ResnetBlock], upsample: Upsample | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.upsample = upsample

    def forward(self, x: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Transform a map, [B, C, H, W] -> [B, C', 2H, 2W] (or undoubled)."""
        for resnet in self.resnets:
            x = resnet(x, strips)
        return x if self.upsample is None else self.upsample(x, strips)


class Encoder(nn.Module):
    """Picture to the moments of its latent distribution."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(PICTURE_CHANNELS, widths[0], 3, padding=1)
        self.stages = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
            halved = index < len(widths) - 1
            resnets = _resnets(before, after, config.layers_per_block, groups)
            self.stages.append(EncoderStage(resnets, Downsample(after) if halved else None))
        self.mid = MidBlock(widths[-1], groups)
        self.out = _head(widths[-1], 2 * config.latent_channels, groups)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode [B, 3, H, W] in -1..1 to moments [B, 32, H/8, W/8]."""
        x = self.conv_in(pictures)
        for stage in self.stages:
            x = stage(x)
        moments: Tensor = self.out(self.mid(x))
        return moments


class Decoder(nn.Module):
    """Latents to a picture."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid = MidBlock(widths[0], groups)
        self.stages = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
            doubled = index < len(widths) - 1
            resnets = _resnets(before, after, config.layers_per_block + 1, groups)
            self.stages.append(DecoderStage(resnets, Upsample(after) if doubled else None))
        self.out = _head(widths[-1], PICTURE_CHANNELS, groups)

    def forward(self, latents: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Decode unscaled latents [B, 16, h, w] to [B, 3, 8h, 8w]."""
        x = self.mid(self.conv_in(latents), strips)
        for stage in self.stages:
            x = stage(x, strips)
        picture: Tensor = self.out(x, strips)
        return picture


class Vae(nn.Module):
    """Autoencoder whose latents are shifted and scaled to about unit variance."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return the mode of the posterior, [B, 3, H, W] in -1..1 -> [B, 16, H/8, W/8]."""
        mean: Tensor = self.encoder(pictures).chunk(2, dim=1)[0]
        return (mean - self.config.shift_factor) * self.config.scaling_factor

    def decode(self, latents: Tensor, strips: Strips = WHOLE) -> Tensor:
        """Return pictures [B, 3, 8h, 8w], about -1..1, of latents [B, 16, h, w].

        `strips` bounds the memory of the convolutions and lets the caller cancel between strips.
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
