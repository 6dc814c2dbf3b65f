"""float16 without overflow, for cards that have no bfloat16 (before compute capability 8).

Everything between the products stays float32; each token is brought to a size at which no product
can leave float16's range, and back again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_REACH: Final = 2.0**14
"""Largest result allowed; float16 ends at 2^16, and rounding may add a little."""

_SMALLEST: Final = 1e-30

_TOKENS_AT_ONCE: Final = 256
"""So many tokens are in memory in both number types at once."""


class HalfLinear(nn.Module):
    """A linear layer whose weight is float16, between float32 tokens.

    By the Cauchy-Schwarz inequality no result exceeds a token's norm times the longest row's.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        weight = torch.empty(out_features, in_features, dtype=torch.float16)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_features), requires_grad=False) if bias else None
        self.register_buffer("longest", torch.empty(()), persistent=False)

    def fill(self, weight: Tensor) -> None:
        """Take a weight, float16 [N, K]."""
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.longest = torch.linalg.vector_norm(weight, dim=1, dtype=torch.float32).amax()

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens `x`, float32 [..., K] -> float32 [..., N]."""
        flat = x.flatten(0, -2)
        out = x.new_empty(len(flat), self.out_features)
        for some, place in zip(
            flat.split(_TOKENS_AT_ONCE), out.split(_TOKENS_AT_ONCE), strict=True
        ):
            place.copy_(self._product(some))
        if self.bias is not None:
            out += self.bias
        return out.reshape(*x.shape[:-1], self.out_features)

    def _product(self, x: Tensor) -> Tensor:
        """Multiply some tokens, float32 [T, K] -> [T, N]."""
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        # The second bound is for the token itself, where all rows are short.
        factors = _REACH / (norms * self.longest.clamp_min(1.0)).clamp_min(_SMALLEST)
        return F.linear((x * factors).half(), self.weight).float().div_(factors)


def make_half(network: nn.Module, names: Iterable[str]) -> None:
    """Put a `HalfLinear`, yet to be filled, in the place of every linear layer of these names."""
    for name in names:
        layer = network.get_submodule(name)
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"{name} is {type(layer).__name__}, no linear layer")
        owner, _, leaf = name.rpartition(".")
        changed = HalfLinear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        setattr(network.get_submodule(owner), leaf, changed)
