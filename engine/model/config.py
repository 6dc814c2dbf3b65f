"""Architecture numbers of the three networks, read from a checkpoint's configuration."""

from __future__ import annotations

from dataclasses import dataclass

LATENT_CHANNELS = 16
"""Channels of the latent picture (FLUX.1 autoencoder)."""

LATENT_SCALE = 8
"""Pixels along one side of a latent cell."""

SIZE_MULTIPLE = 16
"""Picture sides are multiples of this: one transformer token covers 2 x 2 latent cells."""


SEQUENCE_MULTIPLE = 32
"""Captions and images are padded with learned tokens to a multiple of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Numbers of an S3-DiT; the defaults are those of the public 6 B model.

    siglip_feat_dim: width of the vision encoder's features that an Omni model takes; None for all
    others, which take none.
    """

    dim: int = 3840
    n_layers: int = 30
    n_refiner_layers: int = 2
    n_heads: int = 30
    norm_eps: float = 1e-5
    cap_feat_dim: int = 2560
    siglip_feat_dim: int | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Numbers of a SigLIP 2 vision encoder (arXiv 2502.14786); the defaults are Omni's.

    num_patches: of the grid that positions were learned on, a square. max_patches: into how many a
    picture is cut at most.
    """

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    patch_size: int = 16
    num_patches: int = 256
    layer_norm_eps: float = 1e-6
    max_patches: int = 256
