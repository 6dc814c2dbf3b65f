"""Fills a network with the weights of a file, with strict accounting of names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.checkpoints.accounting import match_names
from engine.checkpoints.keys import Dialect
from engine.checkpoints.unpack.door import Int8Rows
from engine.checkpoints.unpack.rows import regular_hadamard
from engine.errors import FileRejected
from engine.quant.half import HalfLinear
from engine.quant.linear import Int8Linear
from engine.quant.rows import Rows, is_finite, quantise_rows


class WeightSource(Protocol):
    """Named weights, one at a time."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight, by its name in the file."""
        ...

    def read(self, name: str, device: torch.device) -> Tensor:
        """Return one weight, in floating point; one that must be unpacked is so on `device`."""
        ...

    def read_int8(self, name: str) -> Int8Rows | None:
        """Return the integers of a weight [N, K] that is stored as such."""
        ...

    def int8_group(self, name: str) -> int | None:
        """Return how many columns of such a weight are turned together, 1 if none; else None."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where weights go: the number type and device they get, and what to call the network.

    on_tensor runs before each tensor is read; it may raise to cancel.
    """

    what: str
    dtype: torch.dtype
    device: torch.device
    on_tensor: Callable[[], None] = lambda: None

    @property
    def unpacks_on(self) -> torch.device:
        """Where packed weights are unpacked: Apple's GPUs know no float8."""
        return self.device if self.device.type == "cuda" else torch.device("cpu")


def fill(module: nn.Module, source: WeightSource, dialect: Dialect, target: Target) -> None:
    """Give every weight of `module`, which lies on the meta device, its values from `source`.

    All names and shapes are checked before the first byte is read. Weights are cast, or rounded to
    int8, one by one, so never more than one tensor of the stored type is in memory. Raises
    `FileRejected` naming what is missing, unexpected, of the wrong shape, or not finite.
    """
    needed = dict(_weights(module))
    pieces = match_names(needed, source.shapes, dialect, target.what)
    for name, shape in needed.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        if isinstance(owner, Int8Linear) and leaf == "weight":
            _fill_int8(owner, source, pieces[name], target)
            continue
        is_half = isinstance(owner, HalfLinear) and leaf == "weight"
        dtype = torch.float16 if is_half else target.dtype
        filled = torch.empty(shape, dtype=dtype, device=target.device)
        for part, piece in zip(filled.chunk(len(pieces[name])), pieces[name], strict=True):
            target.on_tensor()
            part.copy_(source.read(piece, target.unpacks_on).view(part.shape))
            check_finite(part, piece)
        if isinstance(owner, HalfLinear) and is_half:
            owner.fill(filled)
        else:
            setattr(owner, leaf, nn.Parameter(filled, requires_grad=False))


def _weights(module: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of every weight that `module` wants, int8 ones as one matrix each."""
    for prefix, owner in module.named_modules():
        where = f"{prefix}." if prefix else ""
        if isinstance(owner, Int8Linear):
            yield f"{where}weight", (owner.out_features, owner.in_features)
        for name, weight in owner.named_parameters(recurse=False):
            yield where + name, tuple(weight.shape)


def _fill_int8(
    layer: Int8Linear, source: WeightSource, pieces: Sequence[str], target: Target
) -> None:
    """Read the row blocks of an int8 layer: integers as they are stored, other numbers rounded.

    Blocks whose columns are turned stay so where all blocks are, for the tokens must be as well.
    """
    shape = (layer.out_features, layer.in_features)
    values = torch.empty(shape, dtype=torch.int8, device=target.device)
    scales = torch.empty(shape[0], device=target.device)
    groups = {source.int8_group(piece) for piece in pieces}
    group = (groups.pop() or 1) if len(groups) == 1 else 1
    blocks = zip(values.chunk(len(pieces)), scales.chunk(len(pieces)), pieces, strict=True)
    for some_values, some_scales, piece in blocks:
        target.on_tensor()
        # Rounded on the device, where that is fast.
        kept = source.read_int8(piece) if source.int8_group(piece) == group else None
        rows = kept or quantise_rows(source.read(piece, target.unpacks_on).to(target.device))
        some_values.copy_(rows.values)
        some_scales.copy_(rows.scales)
        check_finite(some_scales, piece)
    turn = regular_hadamard(group, target.device) if group > 1 else None
    layer.fill(Rows(values, scales), turn)


def check_finite(weight: Tensor, name: str) -> None:
    """Refuse a weight [...] that would spoil every picture."""
    if not is_finite(weight):
        kind = str(weight.dtype).removeprefix("torch.")
        raise FileRejected(
            f"The weight {name!r} holds NaN, infinity, or numbers too large for {kind}.",
            "Download the file again, or use another precision.",
        )


def split(name: str, weight: Tensor, dialect: Dialect) -> dict[str, Tensor]:
    """Return one of our weights, [rows, ...], as a file of `dialect` stores it, by name."""
    pieces = dialect.naming(name)
    return dict(zip(pieces, weight.chunk(len(pieces)), strict=True))
