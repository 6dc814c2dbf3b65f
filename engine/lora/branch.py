"""What adapters add to a linear layer, computed beside it: the layer itself is never changed.

The layer turns `x` [..., K] into `y` [..., N]; every term here then adds its part to `y`. How
strongly adapters act is kept apart from their tensors, so that changing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weights = Sequence[float]
"""How strongly each adapter acts, in the order in which they were applied."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose change it is: number of the adapter, block of rows, factor at weight 1."""

    adapter: int
    rows: slice
    scale: float = 1.0

    def strength(self, weights: Weights) -> float:
        """Return the factor at these weights."""
        return self.scale * weights[self.adapter]


@dataclass(frozen=True, slots=True)
class Pair:
    """A change of low rank: `up` [n, R] times `down` [R, K]."""

    origin: Origin
    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class Gain:
    """A change in proportion to the layer's own weight: `gain` float32, [n] rows or [K] columns."""

    origin: Origin
    gain: Tensor


class Term(nn.Module):
    """One kind of change of a linear layer."""

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        raise NotImplementedError

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add to `y` [..., N] in place, which is what `base` makes of `x` [..., K]."""
        raise NotImplementedError


class LowRank(Term):
    """All changes of low rank: one product down, then one up for each block of rows."""

    strength: Tensor

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        blocks: dict[tuple[int, int], list[Pair]] = {}
        for pair in pairs:
            rows = pair.origin.rows
            blocks.setdefault((rows.start, rows.stop), []).append(pair)
        ordered = [pair for block in blocks.values() for pair in block]
        self._ranks = [(pair.origin, len(pair.down)) for pair in ordered]
        self._places: list[tuple[slice, slice]] = []
        start = 0
        for (first, last), block in blocks.items():
            stop = start + sum(len(pair.down) for pair in block)
            self._places.append((slice(first, last), slice(start, stop)))
            start = stop
        self.down = _frozen(torch.cat([pair.down for pair in ordered]))
        self.ups = nn.ParameterList(
            _frozen(torch.cat([pair.up for pair in block], dim=1)) for block in blocks.values()
        )
        self.register_buffer("strength", torch.zeros(start, device=self.down.device), False)

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        values = [origin.strength(weights) for origin, rank in self._ranks for _ in range(rank)]
        self.strength = torch.tensor(values, dtype=torch.float32, device=self.down.device)

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add up · (strength * (down · x)) to `y` [..., N] in place, of `x` [..., K]."""
        inner = F.linear(x.to(self.down.dtype), self.down)
        # The factor is float32: rounded to bfloat16 it would make every change too strong or weak.
        inner = (inner * self.strength).to(self.down.dtype)
        for (rows, columns), up in zip(self._places, self.ups, strict=True):
            y[..., rows] += F.linear(inner[..., columns], up)


class Dense(Term):
    """A change of full rank: `matrix` [n, K]."""

    def __init__(self, origin: Origin, matrix: Tensor) -> None:
        super().__init__()
        self.origin, self.factor = origin, 0.0
        self.matrix = _frozen(matrix)

    def weigh(self, weights: Weights) -> None:
        """Set how strongly the adapter acts."""
        self.factor = self.origin.strength(weights)

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add matrix · x to `y` [..., N] in place, of `x` [..., K]."""
        change = F.linear(x.to(self.matrix.dtype), self.matrix)
        y[..., self.origin.rows].add_(change, alpha=self.factor)


class Kronecker(Term):
    """A change kron(`w1` [a, b], `w2` [c, d]) with n = a·c and K = b·d, never written out."""

    def __init__(self, origin: Origin, w1: Tensor, w2: Tensor) -> None:
        super().__init__()
        self.origin, self.factor = origin, 0.0
        self.w1, self.w2 = _frozen(w1), _frozen(w2)

    def weigh(self, weights: Weights) -> None:
        """Set how strongly the adapter acts."""
        self.factor = self.origin.strength(weights)

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add kron(w1, w2) · x to `y` [..., N] in place, of `x` [..., K]."""
        cells = x.to(self.w2.dtype).unflatten(-1, (self.w1.shape[1], self.w2.shape[1]))
        change = torch.matmul(self.w1, F.linear(cells, self.w2)).flatten(-2)
        y[..., self.origin.rows].add_(change, alpha=self.factor)


class RowGain(Term):
    """Rows of the layer's own weight made longer or shorter; must stand first among the terms."""

    total: Tensor

    def __init__(self, gains: Sequence[Gain], rows: int) -> None:
        super().__init__()
        self._gains = tuple(gains)
        self.register_buffer("total", torch.zeros(rows, device=gains[0].gain.device), False)

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        total = torch.zeros_like(self.total)
        for gain in self._gains:
            total[gain.origin.rows] += gain.origin.strength(weights) * gain.gain
        self.total = total

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add total * (weight · x) to `y` [..., N] in place; the bias has no part in it."""
        bias = cast("Tensor | None", base.bias)
        product = y if bias is None else y - bias
        y += product * self.total


class ColumnGain(Term):
    """Columns of the layer's own weight made longer or shorter, which costs another product."""

    def __init__(self, gains: Sequence[Gain]) -> None:
        super().__init__()
        self._blocks: dict[tuple[int, int], list[Gain]] = {}
        for gain in gains:
            rows = gain.origin.rows
            self._blocks.setdefault((rows.start, rows.stop), []).append(gain)
        self.totals = nn.ParameterList(
            _frozen(torch.zeros_like(block[0].gain)) for block in self._blocks.values()
        )

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        for index, block in enumerate(self._blocks.values()):
            parts = [gain.origin.strength(weights) * gain.gain for gain in block]
            self.totals[index] = _frozen(torch.stack(parts).sum(0))

    def add(self, y: Tensor, x: Tensor, base: nn.Module) -> None:
        """Add weight · (total * x) to `y` [..., N] in place, of `x` [..., K]."""
        for place, total in zip(self._blocks, self.totals, strict=True):
            rows = slice(*place)
            y[..., rows] += _product(base, (x * total).to(x.dtype), rows)


class Branched(nn.Module):
    """A linear layer with what adapters add to it; to others it looks like the layer."""

    def __init__(self, base: nn.Module, terms: Sequence[Term]) -> None:
        super().__init__()
        self.base = base
        self.terms = nn.ModuleList(terms)

    @property
    def weight(self) -> Tensor:
        """The weight of the layer itself."""
        return cast(Tensor, self.base.weight)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer itself."""
        return cast("Tensor | None", self.base.bias)

    def weigh(self, weights: Weights) -> None:
        """Set how strongly each adapter acts."""
        for term in self.terms:
            cast(Term, term).weigh(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer on `x` [..., K] and add every change, -> [..., N]."""
        y = cast(Tensor, self.base(x))
        for term in self.terms:
            cast(Term, term).add(y, x, self.base)
        return y


def _product(base: nn.Module, x: Tensor, rows: slice) -> Tensor:
    """Return some rows of weight · x without the bias, `x` [..., K] -> [..., n]."""
    if isinstance(base, nn.Linear):
        return F.linear(x, base.weight[rows])
    bias = cast("Tensor | None", base.bias)
    whole = cast(Tensor, base(x))
    return whole[..., rows] if bias is None else whole[..., rows] - bias[rows]


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
