"""Where the tensors of a network go while it is loaded: on the device, or into slabs at rest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import nn

from engine.errors import FileRejected
from engine.memory.accelerator import Accelerator
from engine.memory.malloc import give_back
from engine.memory.slab import APART, Slab, lay_out, tensors_of
from engine.memory.slab_file import Identity, SlabFile, cells_of, open_slabs, write_slabs
from engine.quant.linear import Int8Linear

Failure = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
"""What a block ended with, as context managers are told."""


class Landing:
    """Takes the pieces of one network as they are filled; afterwards holds their slabs.

    written: bytes that were put into a file for it.
    network: its name. pieces: their paths in the network. locks: the device that page-locks them.
    idle: what else does not lie on the device, by the start of its path.
    """

    idle: str | None = None

    def __init__(
        self, network: str, pieces: Collection[str], locks: Accelerator | None = None
    ) -> None:
        self.network = network
        self.slabs: dict[str, Slab] = {}
        self.written = 0
        self._pieces = frozenset(pieces)
        self._locks = locks

    def piece(self, path: str) -> str | None:
        """Return the piece that a tensor of this path travels with."""
        parts = path.split(".")[:-1]
        for count in range(len(parts), 0, -1):
            above = ".".join(parts[:count])
            if above in self._pieces:
                return above
            if parts[count - 1] == APART:
                return None
        return None

    def __enter__(self) -> Self:
        """Load the network inside."""
        return self

    def __exit__(self, *failure: *Failure) -> None:
        """Let go of everything if the network could not be loaded."""
        if failure[0] is not None:
            self.close()

    def close(self) -> None:
        """Let go of the slabs; no copy from them may be under way."""
        for slab in self.slabs.values():
            slab.close()

    @property
    def is_damaged(self) -> bool:
        """Say whether pieces can no longer be had."""
        return False

    def on_host(self, path: str) -> bool:
        """Say whether a tensor of this path does not lie on the device."""
        is_idle = self.idle is not None and path.startswith(self.idle)
        return is_idle or self.piece(path) is not None

    def recall(self, network: nn.Module) -> Collection[str]:
        """Return that every piece must be read."""
        return ()

    def filled(self, path: str) -> None:
        """Give back what reading took: kept, it would add up to another piece's memory."""
        if self.piece(path) is not None:
            give_back()

    def take(self, piece: str, network: nn.Module) -> None:
        """Move a piece that was filled into a slab."""
        self._laid_out(piece, network).pack(self._locks)
        # What it was filled in is free now, but holes add up from piece to piece.
        give_back()

    def _laid_out(self, piece: str, network: nn.Module) -> Slab:
        cells = lay_out(tensors_of(network.get_submodule(piece)))
        self.slabs[piece] = slab = Slab(f"{self.network}.{piece}", cells)
        return slab


class FileLanding(Landing):
    """Puts pieces into a file, unless one holds them already. file: it, once everything is in."""

    def __init__(self, identity: Identity, pieces: Collection[str], folder: Path) -> None:
        super().__init__(identity.network, pieces)
        self.file: SlabFile | None = None
        self._stack = ExitStack()
        self._identity = identity
        self._folder = folder
        self._names = [f"{identity.network}.{piece}" for piece in pieces]

    def recall(self, network: nn.Module) -> Collection[str]:
        """Take the pieces from the file of an earlier start; else begin to write one."""
        self.file = open_slabs(self._folder, self._identity, self._names)
        if self.file is not None and self._restored(self.file, network):
            return self._pieces
        self.file = None
        size = sum(_bytes(network.get_submodule(piece)) for piece in self._pieces)
        self._writer = self._stack.enter_context(write_slabs(self._folder, self._identity, size))
        return ()

    def take(self, piece: str, network: nn.Module) -> None:
        """Write a piece that was filled, and let its memory go."""
        slab = self._laid_out(piece, network)
        self._writer.add(slab)
        self.written += slab.bytes
        slab.shelve(self)
        give_back()

    @property
    def is_damaged(self) -> bool:
        """Say whether the file turned out to be cut short, or is not there."""
        return self.file is None or self.file.damaged

    def read(self, name: str, target: torch.Tensor) -> None:
        """Fill `target`, [size] uint8 in host memory, with the slab of this name."""
        if self.file is None:
            raise ValueError("the file of slabs is not complete yet")
        self.file.read(name, target)

    def close(self) -> None:
        """Close the file too."""
        super().close()
        if self.file is not None:
            self.file.close()

    def __exit__(self, *failure: *Failure) -> None:
        """Finish the file, or drop it with what went wrong."""
        self._stack.__exit__(*failure)
        super().__exit__(*failure)
        if failure[0] is None and self.file is None:
            self.file = open_slabs(self._folder, self._identity, self._names)

    def _restored(self, found: SlabFile, network: nn.Module) -> bool:
        """Give a network the tensors of a file's slabs, if they fit; they have no memory yet."""
        try:
            cells = {
                piece: cells_of(found, f"{self.network}.{piece}", network.get_submodule(piece))
                for piece in self._pieces
            }
        except FileRejected:
            found.close()
            return False
        for piece, own in cells.items():
            self.slabs[piece] = Slab(f"{self.network}.{piece}", own)
            self.slabs[piece].shelve(self)
        return True


def _bytes(module: nn.Module) -> int:
    """Return about how many bytes a piece has that is not filled yet."""
    layers = [layer for layer in module.modules() if isinstance(layer, Int8Linear)]
    whole = sum(layer.in_features * layer.out_features for layer in layers)
    return whole + sum(p.numel() * p.element_size() for p in module.parameters())


def in_order(network: nn.Module, pieces: Collection[str]) -> Sequence[str]:
    """Return the paths of pieces in the order of their visits, which a network keeps."""
    return [path for path, _ in network.named_modules() if path in pieces]
