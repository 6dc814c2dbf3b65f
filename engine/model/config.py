"""Architecture numbers of the three networks, read from a checkpoint's configuration."""

from __future__ import annotations

from dataclasses import dataclass

LATENT_CHANNELS = 16
"""Channels of the latent picture (FLUX.1 autoencoder)."""

LATENT_SCALE = 8
"""Pixels along one side of a latent cell."""

SIZE_MULTIPLE = 16
"""Picture sides are multiples of this: one transformer token covers 2 x 2 latent cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Numbers of an S3-DiT; the defaults are those of the public 6 B model."""

    dim: int = 3840
    n_layers: int = 30
    n_refiner_layers: int = 2
    n_heads: int = 30
    norm_eps: float = 1e-5
    cap_feat_dim: int = 2560
    rope_theta: float = 256.0
    axes_dims: tuple[int, int, int] = (32, 48, 48)
    t_scale: float = 1000.0
    in_channels: int = LATENT_CHANNELS
    patch_size: int = 2

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads

    @property
    def ffn_dim(self) -> int:
        """Hidden width of the SwiGLU feed-forward, 8/3 of the model's width."""
        return int(self.dim / 3 * 8)

    @property
    def adaln_dim(self) -> int:
        """Width of the time embedding that modulates the blocks."""
        return min(self.dim, 256)

    @property
    def patch_dim(self) -> int:
        """Numbers in one image token before embedding."""
        return self.in_channels * self.patch_size**2


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeConfig:
    """Numbers of the autoencoder; the defaults are those of FLUX.1, which Z-Image uses."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = LATENT_CHANNELS
    norm_num_groups: int = 32
    scaling_factor: float = 0.3611
    shift_factor: float = 0.1159
