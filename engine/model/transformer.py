"""The S3-DiT of Z-Image: one stream of image and caption tokens (arXiv 2511.22699).

The work is cut by how often it must be done: a caption is refined once per prompt
(`refine_caption`), modulation is computed once per schedule (`modulate`), positions once per size
and prompt (`arrange`), and only `forward` runs at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.config import SEQUENCE_MULTIPLE as SEQUENCE_MULTIPLE
from engine.model.config import TransformerConfig
from engine.model.layers import Block, BlockModulation, Change, Mixture, RMSNorm
from engine.model.omni import (
    Caption,
    Reference,
    Scene,
    in_channel_order,
    padding,
    segment_positions,
    sight_positions,
)
from engine.model.rope import Rotation, caption_positions, image_positions, rotation
from engine.model.tokens import image_part, join, patchify, unpatchify

TIME_FREQUENCIES = 256
TIME_HIDDEN = 1024


class Modulation(NamedTuple):
    """What a time step does to the network: noise refiner, main layers, final layer.

    Every tensor is [S, 1, D]: S is 1 when all sequences stand at the same time, else one row a
    sequence (dense batches only). clean: that of pictures without noise, [1, 1, D], where asked.
    """

    refiner: tuple[BlockModulation, ...]
    layers: tuple[BlockModulation, ...]
    final_scale: Tensor
    clean: Modulation | None = None

    def at(self, index: int) -> Modulation:
        """Return the modulation of one time out of S, every tensor [1, 1, D]."""
        return self._rows(slice(index, index + 1))._replace(clean=self.clean)

    def parted(self) -> Modulation:
        """Take the last of the times for that of pictures without noise."""
        return self._rows(slice(-1))._replace(clean=self._rows(slice(-1, None)))

    def _rows(self, here: slice) -> Modulation:
        """Return the modulation of some of the times."""

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
    references: embedded tokens [B, R, D] of input pictures, which count as part of the image. With
    them, clean_images, [1, T, 1], and clean_joint, [1, T + L, 1] or [1, N, 1], say which tokens
    belong to pictures without noise.
    """

    captions: Tensor | tuple[Tensor, ...]
    image_angles: Rotation
    joint_angles: Rotation
    lengths: tuple[int, ...] | None
    references: Tensor | None = None
    clean_images: Tensor | None = None
    clean_joint: Tensor | None = None


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
        if config.siglip_feat_dim is not None:
            self.siglip_embedder = nn.Sequential(
                RMSNorm(config.siglip_feat_dim, config.norm_eps),
                nn.Linear(config.siglip_feat_dim, dim),
            )
            self.siglip_pad_token = nn.Parameter(torch.zeros(1, dim))
            self.siglip_refiner = nn.ModuleList(Block(config, modulated=False) for _ in refiners)

    def modulate(
        self, times: Tensor, targets: Tensor | None = None, *, clean: bool = False
    ) -> Modulation:
        """Return the modulation at model times, [S] float32 in 0..1 (0 = noise, 1 = picture).

        targets: [S] model times each step is to point at, for a network that was trained to know
        them (TwinFlow, arXiv 2512.05150). clean: that of pictures without noise is wanted too.
        """
        if clean:
            return self.modulate(torch.cat([times, times.new_ones(1)])).parted()
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
        tokens = self.cap_embedder(F.pad(features, (0, 0, 0, padding(longest))))
        true_lengths = torch.tensor(lengths or [longest] * count, device=tokens.device)
        place = torch.arange(tokens.shape[1], device=tokens.device)
        beyond = (place >= true_lengths[:, None]).unsqueeze(-1)
        tokens = torch.where(beyond, self.cap_pad_token.to(tokens.dtype), tokens)
        positions = caption_positions(tokens.shape[1]).unsqueeze(0)
        angles = self._angles(positions, tokens.device)
        for block in self.context_refiner:
            tokens = block(tokens, angles)
        return cast(Tensor, tokens)

    def refine_segments(
        self, features: Sequence[Tensor], lengths: Sequence[Sequence[int]]
    ) -> list[Caption]:
        """Turn the features of segments of B prompts into their captions.

        features: of each segment, [B, L_j, cap_feat_dim]. lengths: of each segment, its true length
        in each of the B rows; what lies beyond is replaced by the learned padding token.
        """
        spans = tuple(each.shape[1] + padding(each.shape[1]) for each in features)
        padded = [F.pad(each, (0, 0, 0, padding(each.shape[1]))) for each in features]
        tokens = self.cap_embedder(torch.cat(padded, dim=1))
        beyond = torch.cat(
            [
                torch.arange(span) >= torch.tensor(each)[:, None]
                for span, each in zip(spans, lengths, strict=True)
            ],
            dim=1,
        )
        pad = self.cap_pad_token.to(tokens.dtype)
        tokens = torch.where(beyond.to(tokens.device).unsqueeze(-1), pad, tokens)
        rows = (tuple(row) for row in zip(*lengths, strict=True))
        prompts = [Caption(tokens=tokens[0], lengths=row, spans=spans) for row in rows]
        positions = torch.stack([segment_positions(prompt) for prompt in prompts])
        angles = self._angles(positions, tokens.device)
        for block in self.context_refiner:
            tokens = block(tokens, angles)
        return [replace(prompt, tokens=own) for prompt, own in zip(prompts, tokens, strict=True)]

    def look(self, captions: Sequence[Caption], references: Sequence[Reference]) -> list[Scene]:
        """Put input pictures, in their order, beside the captions of B prompts.

        Each caption has a segment before each picture, one for the target, and perhaps more.
        """
        sizes = [(each.latents.shape[-2], each.latents.shape[-1]) for each in references]
        grids = tuple((each.features.shape[1], each.features.shape[2]) for each in references)
        rows = range(len(captions))
        if references:
            places = [sight_positions(caption, grids, sizes) for caption in captions]
            angles = self._angles(torch.stack(places), captions[0].tokens.device)
            seen = self._embed_sight([each.features for each in references], len(captions))
            for block in self.siglip_refiner:
                seen = block(seen, angles)
        else:
            seen = captions[0].tokens.new_zeros(len(captions), 0, self.config.dim)
        latents = [each.latents.expand(len(rows), -1, -1, -1) for each in references]
        return [
            Scene(
                caption=captions[row],
                sight=seen[row],
                grids=grids,
                latents=tuple(each[row] for each in latents),
            )
            for row in rows
        ]

    def _embed_sight(self, features: Sequence[Tensor], count: int) -> Tensor:
        """Embed and pad what is seen, [count or 1, rows, columns, C] each, as [count, Q, D]."""
        pad = self.siglip_pad_token.to(self.x_embedder.weight.dtype)
        parts = []
        for each in features:
            seen = self.siglip_embedder(in_channel_order(each.to(pad)))
            parts += [seen, pad.expand(len(seen), padding(seen.shape[1]), -1)]
        # The target is not seen, and has padding alone.
        parts.append(pad.expand(1, SEQUENCE_MULTIPLE, -1))
        return torch.cat([part.expand(count, -1, -1) for part in parts], dim=1)

    def arrange_scenes(self, scenes: Sequence[Scene], height: int, width: int) -> Context:
        """Place a target of `height` x `width` latent cells before each scene.

        All scenes have pictures of the same sizes.
        """
        patch, first = self.config.patch_size, scenes[0]
        behind = [scene.tokens for scene in scenes]
        device = behind[0].device
        same = len({(scene.caption.lengths, scene.caption.spans) for scene in scenes}) == 1
        dense = len({len(tokens) for tokens in behind}) == 1
        distinct = scenes[:1] if same else scenes
        images = [scene.image_positions(height, width, patch) for scene in distinct]
        joined = [
            torch.cat([image, scene.token_positions()])
            for image, scene in zip(images, distinct, strict=True)
        ]
        image_angles = self._angles(torch.stack(images), device)
        every = torch.stack(joined) if dense else torch.cat(joined).unsqueeze(0)
        clean = first.clean_images(height, width, patch)
        clean_behind = [torch.cat([clean, each.clean_tokens()]) for each in scenes]
        clean_joint = clean_behind[0] if dense else torch.cat(clean_behind)
        context = Context(
            torch.stack(behind) if dense else tuple(tokens.unsqueeze(0) for tokens in behind),
            image_angles,
            self._angles(every, device),
            None if dense else tuple(map(len, joined)),
        )
        if not first.latents:
            return context
        return replace(
            context,
            references=self._embed_references(scenes),
            clean_images=clean[None, :, None].to(device),
            clean_joint=clean_joint[None, :, None].to(device),
        )

    def _embed_references(self, scenes: Sequence[Scene]) -> Tensor:
        """Embed and pad the pictures of scenes, of the same sizes in all: [B, R, D]."""
        weight = self.x_embedder.weight
        pictures = zip(*(scene.latents for scene in scenes), strict=True)
        embedded = [self._embed_image(torch.stack(each).to(weight)) for each in pictures]
        return torch.cat(embedded, dim=1)

    def arrange(self, captions: Sequence[Tensor], height: int, width: int) -> Context:
        """Place a picture of `height` x `width` latent cells before each caption, [P_i, D] each."""
        device = captions[0].device
        rows, columns = height // self.config.patch_size, width // self.config.patch_size
        pads = padding(rows * columns)
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
        x = join(self._refined(latents, modulation, context), context.captions)
        change = _changes(modulation, context)[0]
        return x, self.layers[0](x, context.joint_angles, context.lengths, change)

    def rest(self, x: Tensor, modulation: Modulation, context: Context) -> Tensor:
        """Run all main layers but the first over tokens `x` [G, T, D], which are not changed."""
        changes = _changes(modulation, context)[1:]
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
        x = image_part(x, size[0] * size[1] // patch**2, context.lengths)
        x = F.layer_norm(x, x.shape[-1:], eps=1e-6) * modulation.final_scale
        return unpatchify(self.final_linear(x), *size, patch)

    def _refined(self, latents: Tensor, modulation: Modulation, context: Context) -> Tensor:
        """Return the refined tokens [B, T, D] of `latents` [B, 16, h, w] and of references."""
        image = self._embed_image(latents)
        changes: Sequence[Change] = modulation.refiner
        if context.references is not None and context.clean_images is not None:
            image = torch.cat([image, context.references], dim=1)
            still = _still(modulation).refiner
            changes = _mixed(modulation.refiner, still, context.clean_images)
        for block, change in zip(self.noise_refiner, changes, strict=True):
            image = block(image, context.image_angles, None, change)
        return image

    def _embed_image(self, latents: Tensor) -> Tensor:
        """Embed and pad a picture, [B, 16, h, w] -> [B, T, D]."""
        image = self.x_embedder(patchify(latents, self.config.patch_size))
        pads = self.x_pad_token.to(image.dtype).expand(image.shape[0], padding(image.shape[1]), -1)
        return torch.cat([image, pads], dim=1)

    def _angles(self, positions: Tensor, device: torch.device) -> Rotation:
        """Return RoPE angles for positions [G, T, 3] on `device`."""
        return rotation(positions, self.config.axes_dims, self.config.rope_theta).to(device)


def _changes(modulation: Modulation, context: Context) -> Sequence[Change]:
    """Return what time does to each main layer."""
    if context.clean_joint is None:
        return modulation.layers
    return _mixed(modulation.layers, _still(modulation).layers, context.clean_joint)


def _still(modulation: Modulation) -> Modulation:
    """Return the modulation of pictures without noise."""
    if modulation.clean is None:
        raise TypeError("a sequence with input pictures needs modulate(..., clean=True)")
    return modulation.clean


def _mixed(
    noisy: Sequence[BlockModulation], clean: Sequence[BlockModulation], is_clean: Tensor
) -> list[Change]:
    """Mix two modulations of some blocks; is_clean: [1, T, 1] bool."""
    return [Mixture(*both, is_clean) for both in zip(noisy, clean, strict=True)]


def _time_waves(timesteps: Tensor) -> Tensor:
    """Sinusoidal embedding of timesteps [S] -> [S, 256], cosines first (arXiv 1706.03762)."""
    half = TIME_FREQUENCIES // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(-math.log(10000) * steps / half)
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
