"""Fills a network with the weights of a file, with strict accounting of names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.checkpoints.keys import Dialect
from engine.checkpoints.tensors import TensorSource
from engine.errors import FileRejected

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Where weights go: the number type and device they get, and what to call the network.

    on_tensor runs before each tensor is read; it may raise to cancel.
    """

    what: str
    dtype: torch.dtype
    device: torch.device
    on_tensor: Callable[[], None] = lambda: None


def fill(module: nn.Module, source: TensorSource, dialect: Dialect, target: Target) -> None:
    """Give every weight of `module`, which lies on the meta device, its values from `source`.

    All names and shapes are checked before the first byte is read. Weights are cast one by one, so
    never more than one tensor of the stored type is in memory. Raises `FileRejected` naming what is
    missing, unexpected or of the wrong shape.
    """
    shapes = source.shapes
    prefix = dialect.prefix_in(shapes) or ""
    pieces = {
        name: tuple(prefix + piece for piece in dialect.naming(name))
        for name in module.state_dict()
    }
    unneeded = {name for name in shapes if dialect.unused(name.removeprefix(prefix))}
    faults = _faults(module, shapes, pieces, unneeded)
    if faults:
        raise FileRejected(
            f"The {target.what} does not fit its configuration: {'; '.join(faults)}.",
            "Check that all files belong to one model, and download it again.",
        )
    for name, weight in module.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        filled = torch.empty(weight.shape, dtype=target.dtype, device=target.device)
        parts = filled.chunk(len(pieces[name]))
        for part, piece in zip(parts, pieces[name], strict=True):
            target.on_tensor()
            part.copy_(source.read(piece).view(part.shape))
        setattr(module.get_submodule(owner), leaf, nn.Parameter(filled, requires_grad=False))


def split(name: str, weight: Tensor, dialect: Dialect) -> dict[str, Tensor]:
    """Return one of our weights, [rows, ...], as a file of `dialect` stores it, by name."""
    pieces = dialect.naming(name)
    return dict(zip(pieces, weight.chunk(len(pieces)), strict=True))


def _faults(
    module: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    pieces: Mapping[str, tuple[str, ...]],
    unneeded: Collection[str],
) -> list[str]:
    """Say what is missing, unexpected, or of the wrong shape."""
    needed = {piece for group in pieces.values() for piece in group}
    wrong = []
    for name, weight in module.state_dict().items():
        rows = weight.shape[0] // len(pieces[name])
        expected = [rows, *weight.shape[1:]]
        wrong += [
            f"{piece} {list(shapes[piece])} instead of {expected}"
            for piece in pieces[name]
            if piece in shapes and _plain(shapes[piece]) != _plain(expected)
        ]
    counts = (
        _count(sorted(needed - shapes.keys()), "missing"),
        _count(sorted(shapes.keys() - needed - set(unneeded)), "unexpected"),
        _count(wrong, "of the wrong shape"),
    )
    return [count for count in counts if count]


def _plain(shape: Sequence[int]) -> list[int]:
    """Drop axes of one: files disagree on them for 1 x 1 convolutions and padding tokens."""
    return [side for side in shape if side != 1]


def _count(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _EXAMPLES else ""
    return f"{len(names)} {what} ({', '.join(names[:_EXAMPLES])}{more})"
