"""The S3-DiT of Z-Image: one stream of image and caption tokens (arXiv 2511.22699).

The work is cut by how often it must be done: a caption is refined once per prompt
(`refine_caption`), modulation is computed once per schedule (`modulate`), positions once per size
and prompt (`arrange`), and only `forward` runs at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.config import TransformerConfig
from engine.model.layers import Block, BlockModulation, RMSNorm
from engine.model.rope import Rotation, caption_positions, image_positions, rotation

SEQUENCE_MULTIPLE = 32
"""Captions and images are padded with learned tokens to a multiple of this."""

TIME_FREQUENCIES = 256
TIME_HIDDEN = 1024


class Modulation(NamedTuple):
    """What a time step does to the network: noise refiner, main layers, final layer.

    Every tensor is [S, 1, D]: S is 1 when all sequences stand at the same time, else one row a
    sequence (dense batches only).
    """

    refiner: tuple[BlockModulation, ...]
    layers: tuple[BlockModulation, ...]
    final_scale: Tensor

    def at(self, index: int) -> Modulation:
        """Return the modulation of one time out of S, every tensor [1, 1, D]."""
        here = slice(index, index + 1)

        def pick(block: BlockModulation) -> BlockModulation:
            return BlockModulation(*(part[here] for part in block))

        return Modulation(
            tuple(pick(block) for block in self.refiner),
            tuple(pick(block) for block in self.layers),
            self.final_scale[here],
        )


@dataclass(frozen=True, slots=True)
class Context:
    """Everything `forward` needs besides the noisy picture; the same at every step.

    captions: refined caption tokens, [B, L, D] when all lengths agree, else one [1, L_i, D] each.
    image_angles: [B or 1, T, 1, head_dim/2]. joint_angles: [1, T + L, 1, head_dim/2] of a dense
    batch, else [1, N, 1, head_dim/2] along the joined sequences.
    lengths: None for a dense batch, else the length T + L_i of every joined sequence.
    """

    captions: Tensor | tuple[Tensor, ...]
    image_angles: Rotation
    joint_angles: Rotation
    lengths: tuple[int, ...] | None


class Transformer(nn.Module):
    """S3-DiT with its embedders; the output is the negated flow velocity, as in the reference."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim, adaln = config.dim, config.adaln_dim
        self.x_embedder = nn.Linear(config.patch_dim, dim)
        self.t_embedder = nn.Sequential(
            nn.Linear(TIME_FREQUENCIES, TIME_HIDDEN), nn.SiLU(), nn.Linear(TIME_HIDDEN, adaln)
        )
        self.cap_embedder = nn.Sequential(
            RMSNorm(config.cap_feat_dim, config.norm_eps), nn.Linear(config.cap_feat_dim, dim)
        )
        self.x_pad_token = nn.Parameter(torch.zeros(1, dim))
        self.cap_pad_token = nn.Parameter(torch.zeros(1, dim))
        refiners, layers = range(config.n_refiner_layers), range(config.n_layers)
        self.noise_refiner = nn.ModuleList(Block(config, modulated=True) for _ in refiners)
        self.context_refiner = nn.ModuleList(Block(config, modulated=False) for _ in refiners)
        self.layers = nn.ModuleList(Block(config, modulated=True) for _ in layers)
        self.final_modulation = nn.Linear(adaln, dim)
        self.final_linear = nn.Linear(dim, config.patch_dim)

    def modulate(self, times: Tensor, targets: Tensor | None = None) -> Modulation:
        """Return the modulation at model times, [S] float32 in 0..1 (0 = noise, 1 = picture).

        targets: [S] model times each step is to point at, for a network that was trained to know
        them (TwinFlow, arXiv 2512.05150).
        """
        embedding = self._embed(times)
        if targets is not None:
            way = targets - times
            far = way.abs().to(embedding)
            embedding = embedding + self._embed(way) * far[:, None]
        final = 1 + self.final_modulation(F.silu(embedding)).unsqueeze(1)
        return Modulation(
            tuple(cast(Block, block).modulate(embedding) for block in self.noise_refiner),
            tuple(cast(Block, block).modulate(embedding) for block in self.layers),
            final,
        )

    def _embed(self, times: Tensor) -> Tensor:
        """Embed times or ways of time, [S] float32, as [S, adaln_dim]."""
        weight = self.x_embedder.weight
        waves = _time_waves(times.to(weight.device) * self.config.t_scale).to(weight.dtype)
        embedding: Tensor = self.t_embedder(waves)
        return embedding

    def refine_caption(self, features: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Turn text features [B, L, cap_feat_dim] into caption tokens [B, P, D].

        P is L rounded up to a multiple of 32. `lengths` gives the true length of each row where
        rows are padded; what lies beyond it is replaced by the learned padding token.
        """
        count, longest = features.shape[:2]
        tokens = self.cap_embedder(F.pad(features, (0, 0, 0, _padding(longest))))
        true_lengths = torch.tensor(lengths or [longest] * count, device=tokens.device)
        place = torch.arange(tokens.shape[1], device=tokens.device)
        beyond = (place >= true_lengths[:, None]).unsqueeze(-1)
        tokens = torch.where(beyond, self.cap_pad_token.to(tokens.dtype), tokens)
        positions = caption_positions(tokens.shape[1]).unsqueeze(0)
        angles = self._angles(positions, tokens.device)
        for block in self.context_refiner:
            tokens = block(tokens, angles)
        return cast(Tensor, tokens)

    def arrange(self, captions: Sequence[Tensor], height: int, width: int) -> Context:
        """Place a picture of `height` x `width` latent cells before each caption, [P_i, D] each."""
        device = captions[0].device
        rows, columns = height // self.config.patch_size, width // self.config.patch_size
        pads = _padding(rows * columns)
        lengths = [caption.shape[0] for caption in captions]
        dense = len(set(lengths)) == 1
        distinct = lengths[:1] if dense else lengths
        images = [image_positions(length + 1, rows, columns, pads) for length in distinct]
        joined = [
            torch.cat([image, caption_positions(length)])
            for image, length in zip(images, distinct, strict=True)
        ]
        image_angles = self._angles(torch.stack(images), device)
        joint_angles = self._angles(torch.cat(joined).unsqueeze(0), device)
        if dense:
            return Context(torch.stack(list(captions)), image_angles, joint_angles, None)
        ragged = tuple(caption.unsqueeze(0) for caption in captions)
        return Context(ragged, image_angles, joint_angles, tuple(len(seq) for seq in joined))

    def forward(self, latents: Tensor, modulation: Modulation, context: Context) -> Tensor:
        """Predict the negated velocity of `latents`, [B, 16, h, w] -> [B, 16, h, w]."""
        x = self.rest(self.begin(latents, modulation, context)[1], modulation, context)
        return self.end(x, modulation, context, (latents.shape[-2], latents.shape[-1]))

    def begin(
        self, latents: Tensor, modulation: Modulation, context: Context
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens of `latents` [B, 16, h, w] before and after the first main layer.

        They are [G, T, D], with those of the captions behind.
        """
        x = _join(self._refined(latents, modulation, context), context.captions)
        first = self.layers[0](x, context.joint_angles, context.lengths, modulation.layers[0])
        return x, first

    def rest(self, x: Tensor, modulation: Modulation, context: Context) -> Tensor:
        """Run all main layers but the first over tokens `x` [G, T, D], which are not changed."""
        changes = modulation.layers[1:]
        for block, change in zip(list(self.layers)[1:], changes, strict=True):
            x = block(x, context.joint_angles, context.lengths, change)
        return x

    def end(
        self, x: Tensor, modulation: Modulation, context: Context, size: tuple[int, int]
    ) -> Tensor:
        """Return the negated velocity [B, 16, h, w] that tokens `x` [G, T, D] tell.

        size: height and width of the latents, h and w.
        """
        patch = self.config.patch_size
        x = _image_part(x, size[0] * size[1] // patch**2, context.lengths)
        x = F.layer_norm(x, x.shape[-1:], eps=1e-6) * modulation.final_scale
        return _unpatchify(self.final_linear(x), *size, patch)

    def _refined(self, latents: Tensor, modulation: Modulation, context: Context) -> Tensor:
        """Return the refined tokens [B, T, D] of `latents` [B, 16, h, w]."""
        image = self._embed_image(latents)
        for block, change in zip(self.noise_refiner, modulation.refiner, strict=True):
            image = block(image, context.image_angles, None, change)
        return image

    def _embed_image(self, latents: Tensor) -> Tensor:
        """Embed and pad a picture, [B, 16, h, w] -> [B, T, D]."""
        image = self.x_embedder(_patchify(latents, self.config.patch_size))
        pads = self.x_pad_token.to(image.dtype).expand(image.shape[0], _padding(image.shape[1]), -1)
        return torch.cat([image, pads], dim=1)

    def _angles(self, positions: Tensor, device: torch.device) -> Rotation:
        """Return RoPE angles for positions [G, T, 3] on `device`."""
        return rotation(positions, self.config.axes_dims, self.config.rope_theta).to(device)


def _padding(length: int) -> int:
    return -length % SEQUENCE_MULTIPLE


def _time_waves(timesteps: Tensor) -> Tensor:
    """Sinusoidal embedding of timesteps [S] -> [S, 256], cosines first (arXiv 1706.03762)."""
    half = TIME_FREQUENCIES // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(-math.log(10000) * steps / half)
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _patchify(latents: Tensor, patch: int) -> Tensor:
    """Cut [B, C, h, w] into tokens [B, T, patch*patch*C], row-major, channel fastest."""
    count, channels, height, width = latents.shape
    cells = latents.reshape(count, channels, height // patch, patch, width // patch, patch)
    return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def _unpatchify(tokens: Tensor, height: int, width: int, patch: int) -> Tensor:
    """Put tokens [B, T, patch*patch*C] back together, -> [B, C, height, width]."""
    rows, columns = height // patch, width // patch
    cells = tokens.reshape(len(tokens), rows, columns, patch, patch, -1)
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def _join(image: Tensor, captions: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Append captions to images [B, T, D]: [B, T + L, D], or one ragged row [1, N, D]."""
    if isinstance(captions, Tensor):
        return torch.cat([image, captions], dim=1)
    pairs = zip(image.split(1), captions, strict=True)
    return torch.cat([part for pair in pairs for part in pair], dim=1)


def _image_part(x: Tensor, tokens: int, lengths: Sequence[int] | None) -> Tensor:
    """Take the first `tokens` tokens of each sequence of `x`, [G, T, D] -> [B, tokens, D]."""
    if lengths is None:
        return x[:, :tokens]
    return torch.cat([part[:, :tokens] for part in x.split(list(lengths), dim=1)])
