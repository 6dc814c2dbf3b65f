"""Turns the tensors of one change into what a branch adds: in float32, then cast.

Formulas: `engine.lora.forms`. With magnitudes m apart (DoRA, arXiv 2402.09353) the new weight is
W' = m * V / |V|, V = W + change, with one length a row or one a column. So W' - W is the change
times m / |V|, and W times m / |V| - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from engine.checkpoints.files import label
from engine.errors import FileRejected
from engine.lora.branch import (
    ColumnGain,
    Dense,
    Gain,
    Kronecker,
    LowRank,
    Origin,
    Pair,
    RowGain,
    Term,
)
from engine.lora.file import Change, LoraFile
from engine.lora.forms import Form, by_column, matrix
from engine.quant.linear import Int8Linear

Raw = Mapping[str, Tensor]
"""Tensors of one change by role, float32 on the model's device."""


@dataclass(frozen=True, slots=True)
class Low:
    """`up` [n, R] · `down` [R, K]."""

    up: Tensor
    down: Tensor

    def matrix(self) -> Tensor:
        """Return the product, [n, K]."""
        return self.up @ self.down

    def scaled(self, factor: Tensor) -> Low:
        """Return it times a factor [n, 1] or [1, K]."""
        if factor.shape[1] == 1:
            return Low(self.up * factor, self.down)
        return Low(self.up, self.down * factor)


@dataclass(frozen=True, slots=True)
class Full:
    """`values` [n, K]."""

    values: Tensor

    def matrix(self) -> Tensor:
        """Return it, [n, K]."""
        return self.values

    def scaled(self, factor: Tensor) -> Full:
        """Return it times a factor [n, 1] or [1, K]."""
        return Full(self.values * factor)


@dataclass(frozen=True, slots=True)
class Kron:
    """kron(`w1` [a, b], `w2` [c, d])."""

    w1: Tensor
    w2: Tensor

    def matrix(self) -> Tensor:
        """Return the product, [a·c, b·d]."""
        return torch.kron(self.w1, self.w2)

    def scaled(self, factor: Tensor) -> Full:
        """Return it times a factor [n, 1] or [1, K], written out."""
        return Full(self.matrix() * factor)


Delta = Low | Full | Kron


def delta_of(form: Form, raw: Raw) -> Delta:
    """Return the change that tensors state, without scale and magnitude."""
    if form is Form.LORA:
        return Low(raw["up"], raw["down"])
    if form is Form.LOHA:
        return _loha(raw)
    if form is Form.LOKR:
        sides = (_side(raw, "lokr_w1", ""), _side(raw, "lokr_w2", "lokr_t2"))
        return Kron(*sides)
    return Full(raw["diff"])


def _loha(raw: Raw) -> Delta:
    """Return a product of two products, elementwise; its rank is the product of their ranks."""
    if not {"hada_t1", "hada_t2"} & raw.keys():
        (a1, b1), (a2, b2) = ((raw[f"hada_w{i}_a"], raw[f"hada_w{i}_b"]) for i in (1, 2))
        rank, rows, columns = len(b1) * len(b2), len(a1), b1.shape[1]
        if rank * (rows + columns) < rows * columns:
            up = (a1[:, :, None] * a2[:, None, :]).flatten(1)
            down = (b1[:, None, :] * b2[None, :, :]).flatten(0, 1)
            return Low(up, down)
    first, second = (_factors(raw, f"hada_w{i}", f"hada_t{i}") for i in (1, 2))
    return Full(first * second)


def _side(raw: Raw, name: str, core: str) -> Tensor:
    """Return one side of a Kronecker product, whole."""
    return raw[name] if name in raw else _factors(raw, name, core)


def _factors(raw: Raw, name: str, core: str) -> Tensor:
    a, b = raw[f"{name}_a"], raw[f"{name}_b"]
    return a.T @ raw[core] @ b if core in raw else a @ b


def base_weight(layer: nn.Module, rows: slice) -> Tensor:
    """Return rows of a layer's weight, float32 [n, K]; int8 rows times their scales."""
    if isinstance(layer, Int8Linear):
        return layer.dequantised(rows)
    return cast(Tensor, layer.weight)[rows].float()


@dataclass(frozen=True, slots=True)
class Build:
    """Collects the terms of one linear layer. dtype: of the tensors in its branch."""

    layer: nn.Module
    dtype: torch.dtype
    pairs: list[Pair]
    others: list[Term]
    rows: list[Gain]
    columns: list[Gain]

    def add(self, change: Change, raw: Raw, origin: Origin, lora: LoraFile) -> None:
        """Add one change; raise `FileRejected` where its numbers are not finite."""
        delta, own = delta_of(change.form, raw), list[Tensor]()
        if change.decomposed:
            factor = self._magnitude(raw["dora_scale"], delta, origin)
            delta = delta.scaled(factor)
            by = self.rows if factor.shape[1] == 1 else self.columns
            by.append(Gain(replace(origin, scale=1.0), factor.flatten() - 1))
            own.append(factor)
        parts = [part.to(self.dtype) for part in _parts(delta)]
        if not all(bool(part.isfinite().all()) for part in (*parts, *own)):
            raise FileRejected(
                f"{label(lora.path)}: the change of {change.module!r:.120} holds numbers that are "
                f"not finite in {str(self.dtype).removeprefix('torch.')}.",
                "Download it again, or ask its author.",
            )
        if isinstance(delta, Low):
            self.pairs.append(Pair(origin, parts[1], parts[0]))
        elif isinstance(delta, Kron):
            self.others.append(Kronecker(origin, *parts))
        else:
            self.others.append(Dense(origin, parts[0]))

    def _magnitude(self, wanted: Tensor, delta: Delta, origin: Origin) -> Tensor:
        """Return m / |V|, [n, 1] for lengths of rows or [1, K] for lengths of columns."""
        changed = base_weight(self.layer, origin.rows) + origin.scale * delta.matrix()
        columns = by_column(tuple(wanted.shape), (changed.shape[0], changed.shape[1]))
        axis = 0 if columns else 1
        lengths = changed.norm(dim=axis, keepdim=True)
        # A row of zeros has no direction: it stays zero whatever its magnitude.
        safe = torch.where(lengths > 0, lengths, torch.ones_like(lengths))
        return wanted.reshape(lengths.shape) / safe

    def terms(self) -> list[Term]:
        """Return the terms in the order in which they act."""
        found: list[Term] = []
        if self.rows:
            found.append(RowGain(self.rows, cast(int, self.layer.out_features)))
        if self.columns:
            found.append(ColumnGain(self.columns))
        if self.pairs:
            found.append(LowRank(self.pairs))
        return [*found, *self.others]


def build(layer: nn.Module, dtype: torch.dtype) -> Build:
    """Begin the branch of a linear layer."""
    return Build(layer, dtype, [], [], [], [])


def read_raw(change: Change, read: Callable[[str], Tensor], device: torch.device) -> Raw:
    """Read the tensors of a change as float32; `read` gives them as stored, by name."""
    found = {}
    for role, name in change.tensors.items():
        # Not every device can hold what is stored: Apple's know neither float8 nor float64.
        tensor = read(name).float().to(device)
        found[role] = tensor.reshape(matrix(tuple(tensor.shape)))
    return found


def _parts(delta: Delta) -> tuple[Tensor, ...]:
    if isinstance(delta, Low):
        return delta.up, delta.down
    return (delta.w1, delta.w2) if isinstance(delta, Kron) else (delta.values,)
