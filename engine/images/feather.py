"""Laying a painted part over a picture, so that all beyond its soft edge stays as it was."""

from __future__ import annotations

import torch
from torch import Tensor


def ramp(mask: Tensor, feather: int) -> Tensor:
    """Return how much of each pixel is painted, [H, W] float32 in 0..1.

    mask: [H, W] bool. 1 inside of it, falling evenly with the distance from its edge, and exactly 0
    beyond `feather` pixels.
    """
    far = feather + 1
    columns = _across(torch.where(mask, 0.0, float(far)), far)
    squared = columns.square()
    nearest = squared.clone()
    for offset in range(1, far):
        for shifted, place in _shifts(squared, nearest, offset):
            torch.minimum(place, shifted + offset**2, out=place)
    return torch.where(nearest > feather**2, 0.0, 1 - nearest.sqrt() / far)


def lay_over(picture: Tensor, painted: Tensor, share: Tensor) -> Tensor:
    """Return a picture [H, W, 3] uint8 with a painted one of the same size over it.

    share: [H, W] float32, of `painted`; where it is 0, every byte is the picture's.
    """
    share = share[..., None]
    mixed = picture + share * (painted.float() - picture)
    return torch.where(share > 0, mixed.round_().to(torch.uint8), picture)


def changed(before: Tensor, after: Tensor, among: Tensor) -> int:
    """Count the pixels of a picture [H, W, 3] that differ among those of a mask [H, W] bool."""
    return int(((before != after).any(-1) & among).sum())


def _across(far: Tensor, limit: int) -> Tensor:
    """Return the distance up and down to the nearest 0, [H, W] float32, `limit` at most."""
    near = far
    for top, bottom in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        for _ in range(limit - 1):
            stepped = near.clone()
            torch.minimum(near[top], near[bottom] + 1, out=stepped[top])
            near = stepped
    return near


def _shifts(source: Tensor, target: Tensor, offset: int) -> list[tuple[Tensor, Tensor]]:
    """Return views of both, [H, W - offset], between which `offset` columns lie; both ways."""
    if offset >= source.shape[1]:
        return []
    return [
        (source[:, offset:], target[:, :-offset]),
        (source[:, :-offset], target[:, offset:]),
    ]
