"""Fills a network with the weights of a file, with strict accounting of names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

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

ROWS_AT_ONCE: Final = 512
"""Rows of a weight that are rounded at a time: some 60 MB at the widest."""


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


class Rest(Protocol):
    """Which tensors of a network wait in the computer's memory, and what becomes of them there.

    They are known by their paths in the network; those of one piece are filled in one go.
    """

    def piece(self, path: str) -> str | None:
        """Return the piece that a tensor travels with, None = it stays where it is filled."""
        ...

    def on_host(self, path: str) -> bool:
        """Say whether a tensor is filled in the computer's memory."""
        ...

    def recall(self, network: nn.Module) -> Collection[str]:
        """Give a network, on the meta device, the pieces that need not be read; return them."""
        ...

    def filled(self, path: str) -> None:
        """Hear that a tensor was filled, and that what reading it took is free."""
        ...

    def take(self, piece: str, network: nn.Module) -> None:
        """Take a piece of a network, which was filled."""
        ...


class Resident:
    """All of a network lies on the device."""

    def piece(self, path: str) -> str | None:
        """Return that the tensor stays."""
        return None

    def on_host(self, path: str) -> bool:
        """Say that it lies on the device."""
        return False

    def recall(self, network: nn.Module) -> Collection[str]:
        """Return that everything must be read."""
        return ()

    def filled(self, path: str) -> None:
        """Leave everything as it is."""

    def take(self, piece: str, network: nn.Module) -> None:
        """Do nothing: there are no pieces."""


RESIDENT: Final[Rest] = Resident()


@dataclass(frozen=True, slots=True)
class Target:
    """Where weights go: the number type and device they get, and what to call the network.

    on_tensor runs before each tensor is read; it may raise to cancel. stays: paths of tensors that
    lie in the computer's memory in any case. rest: which others do.
    """

    what: str
    dtype: torch.dtype
    device: torch.device
    on_tensor: Callable[[], None] = lambda: None
    stays: Collection[str] = ()
    rest: Rest = RESIDENT

    def home(self, path: str) -> torch.device:
        """Return where a tensor is filled."""
        on_host = path in self.stays or self.rest.on_host(path)
        return torch.device("cpu") if on_host else self.device

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
    known = target.rest.recall(module)
    wanted = [name for name in needed if target.rest.piece(name) not in known]
    last = {target.rest.piece(name): name for name in wanted}
    for name in wanted:
        _fill_one(module, name, needed[name], _Blocks(source, pieces[name], target))
        target.rest.filled(name)
        piece = target.rest.piece(name)
        if piece is not None and last[piece] == name:
            target.rest.take(piece, module)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of rows, by their names in the files, that one weight is read from."""

    source: WeightSource
    names: Sequence[str]
    target: Target


def _fill_one(module: nn.Module, name: str, shape: tuple[int, ...], blocks: _Blocks) -> None:
    """Give one weight of a module its values."""
    owner_name, _, leaf = name.rpartition(".")
    owner, target = module.get_submodule(owner_name), blocks.target
    home = target.home(name)
    if isinstance(owner, Int8Linear) and leaf == "weight":
        _fill_int8(owner, blocks, home)
        return
    is_half = isinstance(owner, HalfLinear) and leaf == "weight"
    dtype = torch.float16 if is_half else target.dtype
    filled = torch.empty(shape, dtype=dtype, device=home)
    for part, piece in zip(filled.chunk(len(blocks.names)), blocks.names, strict=True):
        target.on_tensor()
        part.copy_(blocks.source.read(piece, target.unpacks_on).view(part.shape))
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


def _fill_int8(layer: Int8Linear, blocks: _Blocks, home: torch.device) -> None:
    """Read the row blocks of an int8 layer: integers as they are stored, other numbers rounded.

    Blocks whose columns are turned stay so where all blocks are, for the tokens must be as well.
    """
    source, target, count = blocks.source, blocks.target, len(blocks.names)
    shape = (layer.out_features, layer.in_features)
    values = torch.empty(shape, dtype=torch.int8, device=home)
    scales = torch.empty(shape[0], device=home)
    groups = {source.int8_group(piece) for piece in blocks.names}
    group = (groups.pop() or 1) if len(groups) == 1 else 1
    for some_values, some_scales, piece in zip(
        values.chunk(count), scales.chunk(count), blocks.names, strict=True
    ):
        target.on_tensor()
        kept = source.read_int8(piece) if source.int8_group(piece) == group else None
        if kept is None:
            weight = source.read(piece, target.unpacks_on)
            _round(weight, Rows(some_values, some_scales), target.device)
        else:
            some_values.copy_(kept.values)
            some_scales.copy_(kept.scales)
        check_finite(some_scales, piece)
    turn = regular_hadamard(group, home) if group > 1 else None
    layer.fill(Rows(values, scales), turn)


def _round(weight: Tensor, rows: Rows, device: torch.device) -> None:
    """Round a weight [n, K] to `rows` on `device`, where that is fast.

    A few rows at a time: a card that is small must hold little of it.
    """
    parts = (part.split(ROWS_AT_ONCE) for part in (weight, rows.values, rows.scales))
    for some, values, scales in zip(*parts, strict=True):
        rounded = quantise_rows(some.to(device))
        values.copy_(rounded.values)
        scales.copy_(rounded.scales)


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
