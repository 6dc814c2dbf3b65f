"""Pictures and prompts in one sequence: what Z-Image Omni reads besides the noisy target.

A prompt is cut into segments at its pictures. Each segment, each picture and what the vision
encoder says of it have a place of their own along the first axis of RoPE (arXiv 2511.22699).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from engine.model.config import SEQUENCE_MULTIPLE
from engine.model.rope import caption_positions, image_positions

PLACES_BETWEEN = 2
"""Between two segments stand a picture and what the vision encoder says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One input picture of a sequence, or one for each row of a batch.

    latents: [B or 1, 16, h, w], as the autoencoder gives them. features: [B or 1, rows, columns,
    siglip_feat_dim], as the vision encoder gives them.
    """

    latents: Tensor
    features: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A prompt in segments: refined tokens [P, D] of all of them, one after another.

    lengths: true tokens of each segment. spans: those with the learned ones it is padded with.
    """

    tokens: Tensor
    lengths: tuple[int, ...]
    spans: tuple[int, ...]

    @property
    def ends(self) -> tuple[int, ...]:
        """Return where each segment ends, which is the place of the picture behind it."""
        steps = (length + PLACES_BETWEEN for length in self.lengths)
        return tuple(end + 1 - PLACES_BETWEEN for end in accumulate(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a sequence holds besides its target; the same at every step.

    sight: refined tokens [Q, D] of what the vision encoder says of the pictures, none without any.
    grids: its rows and columns for each picture. latents: the pictures', [16, h, w] each.
    """

    caption: Caption
    sight: Tensor
    grids: tuple[tuple[int, int], ...]
    latents: tuple[Tensor, ...]

    @property
    def tokens(self) -> Tensor:
        """Return the tokens [P + Q, D] behind the pictures."""
        return torch.cat([self.caption.tokens, self.sight])

    def image_positions(self, height: int, width: int, patch: int) -> Tensor:
        """Return where the target, of `height` x `width` latent cells, and the pictures stand.

        The result is [T, 3], the target first.
        """
        sizes = [(height, width), *((each.shape[-2], each.shape[-1]) for each in self.latents)]
        ends = (self.caption.ends[len(self.latents)], *self.caption.ends[: len(self.latents)])
        places = zip(sizes, ends, strict=True)
        return torch.cat([_image_places(*size, patch, end) for size, end in places])

    def token_positions(self) -> Tensor:
        """Return where `tokens` stand, [P + Q, 3]."""
        return torch.cat([segment_positions(self.caption), self.sight_positions()])

    def sight_positions(self) -> Tensor:
        """Return where `sight` stands, [Q, 3]."""
        sizes = [(latents.shape[-2], latents.shape[-1]) for latents in self.latents]
        return sight_positions(self.caption, self.grids, sizes)

    def clean_images(self, height: int, width: int, patch: int) -> Tensor:
        """Say which tokens of target and pictures are of clean pictures, [T] bool."""
        target = len(_image_places(height, width, patch, 0))
        every = len(self.image_positions(height, width, patch))
        return torch.arange(every) >= target

    def clean_tokens(self) -> Tensor:
        """Say which of `tokens` belong to clean pictures, [P + Q] bool.

        Those are a picture's own and of the segment before it; the rest belongs to the target.
        """
        pictures = len(self.latents)
        before = sum(self.caption.spans[:pictures])
        own = max(0, len(self.sight) - SEQUENCE_MULTIPLE)
        caption = torch.arange(len(self.caption.tokens)) < before
        return torch.cat([caption, torch.arange(len(self.sight)) < own])


def padding(length: int) -> int:
    """Return how many learned tokens fill a sequence up to the multiple that all have."""
    return -length % SEQUENCE_MULTIPLE


def segment_positions(caption: Caption) -> Tensor:
    """Return where the tokens of all segments stand, [P, 3].

    Padding keeps counting, but the next segment counts from the true length on.
    """
    places = []
    for end, length, span in zip(caption.ends, caption.lengths, caption.spans, strict=True):
        place = caption_positions(span)
        place[:, 0] += end - length - 1
        places.append(place)
    return torch.cat(places)


def sight_positions(
    caption: Caption, grids: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """Return where the vision encoder's tokens stand, [Q, 3]; none without pictures.

    grids: its rows and columns for each picture. sizes: height and width of the pictures' latents,
    over whose cells, not tokens, a grid is spread. The target has nothing but padding.
    """
    if not grids:
        return torch.zeros(0, 3, dtype=torch.int64)
    places = []
    for grid, size, end in zip(grids, sizes, caption.ends[: len(grids)], strict=True):
        place = image_positions(end + 1, *grid)
        for axis, (count, cells) in enumerate(zip(grid, size, strict=True), start=1):
            # In float32, as the reference computes it: what is rounded down depends on it.
            spread = place[:, axis].float() / max(count - 1, 1) * (cells - 1)
            place[:, axis] = spread.to(torch.int64)
        places += [place, torch.zeros(padding(len(place)), 3, dtype=torch.int64)]
    return torch.cat([*places, torch.zeros(SEQUENCE_MULTIPLE, 3, dtype=torch.int64)])


def in_channel_order(features: Tensor) -> Tensor:
    """Lay features [B, rows, columns, C] out as [B, rows * columns, C].

    Channels come first and are then read as tokens, which scrambles them; the model was trained
    so, for all public code does it.
    """
    count, rows, columns, channels = features.shape
    return features.permute(0, 3, 1, 2).reshape(count, rows * columns, channels)


def _image_places(height: int, width: int, patch: int, place: int) -> Tensor:
    rows, columns = height // patch, width // patch
    return image_positions(place, rows, columns, padding(rows * columns))
