"""Attention on processors for which PyTorch's own kernel has no fast products.

Its kernel takes small products from MKL, which computes them on AMD's processors with less than
half of oneDNN's speed. Here they are oneDNN's, all in float32, which rounds less than there.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from engine.model.attention import Attend, sdpa
from engine.model.footprint import part_size

_QUERIES: Final = 640
"""So many queries meet all keys at once: their scores, float32, stay in the processor's cache."""


def native() -> Attend:
    """Return what attends best without anything installed: `tiled` where it serves, or `sdpa`."""
    # What has matrix tiles has products of its own in PyTorch's kernel.
    suits = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
    return tiled if suits and torch.backends.mkldnn.is_available() else sdpa


def tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend in bfloat16 on the CPU: three [G, T, heads, head_dim] -> the same shape.

    Elsewhere, in other types, and where gradients are taken, this is `sdpa`.
    """
    serves = q.device.type == "cpu" and q.dtype is torch.bfloat16
    if not serves or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return sdpa(q, k, v)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    for row in range(q.shape[0]):
        for head in range(q.shape[2]):
            here = (row, slice(None), head)
            _attend(q[here], k[here], v[here], out[here])
    return out


def _attend(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
    """Attend with one head: three [T, head_dim], into `out`, the same."""
    keys, values = k.float(), v.float().t().contiguous()
    queries = q.float().mul_(q.shape[-1] ** -0.5)
    size = part_size(1, len(queries), _QUERIES)
    for some, place in zip(queries.split(size), out.split(size), strict=True):
        place.copy_(_product(_product(some, keys).softmax(-1), values))


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x · weightᵀ by oneDNN, float32 [M, K] and [N, K] -> [M, N]."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product
