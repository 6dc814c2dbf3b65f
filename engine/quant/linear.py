"""The int8 linear layer: a plain module that holds int8 rows and a way to multiply by them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine.quant.products import WEIGHT_ONLY, Product
from engine.quant.rows import Rows


class Int8Linear(nn.Module):
    """A linear layer whose weight is int8 with one scale a row.

    How it multiplies is its product's: with tokens rounded to int8 as well, or exact.
    """

    prepared: Tensor
    scales: Tensor
    turn: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool, product: Product = WEIGHT_ONLY
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.product = product
        self.register_buffer("prepared", torch.empty(0, dtype=torch.int8))
        self.register_buffer("scales", torch.empty(0))
        self.register_buffer("turn", None)
        self.bias = nn.Parameter(torch.empty(out_features), requires_grad=False) if bias else None

    @property
    def weight(self) -> Tensor:
        """The whole numbers, int8 [N, K]; times `scales`, float32 [N], they are the weight.

        Unless its columns are turned.
        """
        return self.product.restore(self.prepared, (self.out_features, self.in_features))

    def fill(self, rows: Rows, turn: Tensor | None = None) -> None:
        """Take `rows`: values int8 [N, K], scales [N].

        turn: a symmetric orthogonal matrix [g, g] that every group of g columns was multiplied by
        before it was rounded, and that tokens must be multiplied by too.
        """
        self.turn = turn
        self.prepared = self.product.prepare(rows.values)
        self.scales = rows.scales.float()

    def dequantised(self, rows: slice) -> Tensor:
        """Return some rows of the weight that this layer stands for, float32 [n, K]."""
        weight = self.weight[rows].float() * self.scales[rows, None]
        return weight if self.turn is None else _turned(weight, self.turn)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens `x`, [..., K] -> [..., N] in the type of `x`."""
        if self.turn is not None:
            x = _turned(x, self.turn)
        flat = x.reshape(-1, self.in_features)
        out = self.product.multiply(flat, self.prepared, self.scales)
        if self.bias is not None:
            out += self.bias
        return out.reshape(*x.shape[:-1], self.out_features)


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Multiply every group of g numbers of `x` [..., K] by `turn` [g, g]."""
    return torch.matmul(x.unflatten(-1, (-1, len(turn))), turn.to(x.dtype)).flatten(-2)


def make_int8(network: nn.Module, names: Iterable[str], product: Product) -> None:
    """Put an `Int8Linear`, yet to be filled, in the place of every linear layer of these names."""
    for name in names:
        layer = network.get_submodule(name)
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"{name} is {type(layer).__name__}, no linear layer")
        owner, _, leaf = name.rpartition(".")
        bias = layer.bias is not None
        changed = Int8Linear(layer.in_features, layer.out_features, bias=bias, product=product)
        setattr(network.get_submodule(owner), leaf, changed)
