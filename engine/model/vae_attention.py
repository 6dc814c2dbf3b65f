"""Attention over all cells of a map, without ever holding all of its scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SCORE_BYTES = 32 * 2**20
"""Size of the float32 score matrix that a device without a fused kernel makes at a time."""

QUERIES, PAGE = 1024, 4096
"""Cells that ask, and cells that answer, at a time where the map lies in host memory."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Mix values by softmax(q kᵀ / √C), all [B, T, C] -> [B, T, C].

    Few fused kernels take heads of 512 channels; so the queries are cut unless one does.
    """
    queries = max(1, SCORE_BYTES // (4 * k.shape[0] * k.shape[1]))
    if _has_fused_kernel(q, k, v):
        queries = q.shape[1]
    keys, values = k.unsqueeze(1), v.unsqueeze(1)
    parts = [
        F.scaled_dot_product_attention(part.unsqueeze(1), keys, values).squeeze(1)
        for part in q.split(queries, dim=1)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def attend_in_pages(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Mix values as `attend` does for some queries, [B, N, C], a page of keys at a time.

    Keys and values, [B, T, C], may lie elsewhere; they are brought to the queries. Computes in
    float32 with a running maximum and sum: Milakov and Gimelshein, arXiv:1805.02867.
    """
    scaled = q.float() * q.shape[-1] ** -0.5
    peak = torch.full_like(scaled.narrow(-1, 0, 1), float("-inf"))
    total, mixed = torch.zeros_like(peak), torch.zeros_like(scaled)
    for keys, values in zip(k.split(PAGE, dim=1), v.split(PAGE, dim=1), strict=True):
        scores = scaled @ keys.to(q.device).float().transpose(1, 2)
        higher = torch.maximum(peak, scores.amax(-1, keepdim=True))
        weights = scores.sub_(higher).exp_()
        shrink = (peak - higher).exp_()
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = torch.baddbmm(mixed * shrink, weights, values.to(q.device).float())
        peak = higher
        del scores, weights
    return (mixed / total).to(q.dtype)


def _has_fused_kernel(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Say whether a CUDA kernel takes [B, T, C] without a score matrix."""
    if not q.is_cuda:
        return False
    heads = [part.unsqueeze(1) for part in (q, k, v)]
    asked = torch.backends.cuda.SDPAParams(heads[0], heads[1], heads[2], None, 0.0, False, False)
    return torch.backends.cuda.can_use_efficient_attention(asked)
