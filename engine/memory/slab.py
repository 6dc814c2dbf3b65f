"""Slabs: the tensors of one module, one after another in memory that is copied in one piece.

A slab begins with the module's own tensors. Where adapters stand beside its layers, their tensors
and the vectors that they changed follow as its tail.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Final, Protocol, cast

import torch
from torch import Tensor, nn

from engine.memory.accelerator import Accelerator, mapped
from engine.memory.pieces import aligned

APART: Final = "modulation"
"""The child of a block that is a piece of its own, visited once a schedule."""


Table = dict[str, Tensor | None]
"""The parameters or the buffers of a module, by name."""

Setting = tuple[Table, str, Tensor]
"""A tensor, and where it is put to be the module's."""


class Pages:
    """Memory of the host of exactly `size` bytes, on pages of its own.

    They are page-locked where a device is given and the system allows it.
    """

    def __init__(self, size: int, device: Accelerator | None = None) -> None:
        self.memory = mapped(size)
        self.locked = device is not None and device.lock(self.memory)
        self._unlock = None
        if device is not None and self.locked:
            self._unlock = weakref.finalize(self, device.unlock, self.memory)
            self._unlock.atexit = False

    def release(self) -> None:
        """Unlock the pages; nothing may be copying from them. They go when nobody uses them."""
        if self._unlock is not None:
            self._unlock()


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a tensor of a module lies in a slab: `leaf` of `owner`, `offset` in bytes."""

    owner: nn.Module
    path: str
    leaf: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def table(self) -> Table:
        """The table of the module in which the tensor stands."""
        is_buffer = self.leaf in self.owner._buffers
        return cast(Table, self.owner._buffers if is_buffer else self.owner._parameters)

    @property
    def bytes(self) -> int:
        """Bytes of the tensor; its memory has no holes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """Where the next tensor may begin."""
        return aligned(self.offset + self.bytes)

    def view(self, memory: Tensor, start: int = 0) -> Tensor:
        """Return the tensor in `memory`, [size] uint8, that holds a slab from byte `start` on."""
        first = self.offset - start
        flat = memory[first : first + self.bytes].view(self.dtype)
        return self.kept(flat.as_strided(self.shape, self.stride))

    def shadow(self) -> Tensor:
        """Return a tensor of this shape that has no memory."""
        empty = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")
        return self.kept(empty)

    def kept(self, tensor: Tensor) -> Tensor:
        """Return a tensor [...] as its module keeps it: buffers as they are."""
        if self.leaf in self.owner._buffers:
            return tensor
        return nn.Parameter(tensor, requires_grad=False)


Found = tuple[nn.Module, str, str, Tensor]
"""A tensor of a module: its owner, the owner's path, its name there, itself."""


def tensors_of(module: nn.Module) -> Iterator[Found]:
    """Yield the tensors of a piece; what is a piece of its own below it is left out."""
    for path, owner in module.named_modules():
        if path.split(".")[0] != APART:
            held = {**owner._parameters, **owner._buffers}.items()
            yield from ((owner, path, leaf, tensor) for leaf, tensor in held if tensor is not None)


def lay_out(found: Iterable[Found], start: int = 0) -> tuple[Cell, ...]:
    """Return where tensors lie, one after another from byte `start` on."""
    cells: list[Cell] = []
    for owner, path, leaf, tensor in found:
        offset = cells[-1].end if cells else start
        shape, stride = tuple(tensor.shape), _stride(tensor)
        cells.append(Cell(owner, path, leaf, offset, shape, stride, tensor.dtype))
    return tuple(cells)


def _stride(tensor: Tensor) -> tuple[int, ...]:
    """Return the strides of a tensor [...] without holes, in the order of axes that it has."""
    return torch.empty_like(tensor, device="meta").stride()


def _end(cells: Sequence[Cell], start: int = 0) -> int:
    return cells[-1].end if cells else start


class Source(Protocol):
    """A file that slabs can be read from."""

    def read(self, name: str, target: Tensor) -> None:
        """Fill `target`, [size] uint8 in host memory, with the slab of this name."""
        ...


class Slab:
    """One piece at rest: in host memory, or in a file but for its tail."""

    def __init__(self, name: str, cells: Sequence[Cell]) -> None:
        """Take cells that a slab begins with; `pack` or `shelve` then give it its bytes."""
        self.name = name
        self.own = tuple(cells)
        self.cells = self.own
        self.own_bytes = _end(self.own)
        self._pages: Pages | None = None
        self._device: Accelerator | None = None
        self._file: Source | None = None
        self._rest: list[Setting] = []
        self._own_count = len(self.own)
        self._lent: dict[tuple[int, str], weakref.ref[Tensor]] = {}

    @property
    def bytes(self) -> int:
        """Bytes of one copy, tail and all."""
        return _end(self.cells, self.own_bytes)

    @property
    def tail_bytes(self) -> int:
        """Bytes of what adapters added."""
        return self.bytes - self.own_bytes

    @property
    def locked(self) -> bool:
        """Say whether a device can copy all of it by itself."""
        return self._file is None and self._pages is not None and self._pages.locked

    @property
    def memory(self) -> Tensor:
        """The bytes of one copy, [bytes] uint8 in host memory; of a slab that is in no file."""
        if self._file is not None or self._pages is None:
            raise ValueError(f"the slab {self.name} does not lie in memory")
        return self._pages.memory[: self.bytes]

    def pack(self, device: Accelerator | None) -> None:
        """Move the module's tensors into host memory; `device` locks its pages if given."""
        self._device = device
        self._pages = Pages(self.own_bytes, device)
        for cell in self.own:
            tensor = cell.table[cell.leaf]
            if tensor is not None:
                cell.view(self._pages.memory).copy_(tensor)
        self._keep_rest()

    def parts(self) -> Iterator[Tensor]:
        """Yield the bytes of the module's tensors, [size] uint8 each, as they follow one another.

        One at a time, so that a slab that is written to a file never lies in memory whole.
        """
        for cell in self.own:
            part = torch.zeros(cell.end - cell.offset, dtype=torch.uint8)
            tensor = cell.table[cell.leaf]
            if tensor is not None:
                cell.view(part, cell.offset).copy_(tensor)
            yield part

    def shelve(self, file: Source) -> None:
        """Take the slab of this name in a file for its bytes; the module's tensors go."""
        self._file, self._pages = file, None
        self._keep_rest()

    def fill(self, target: Tensor) -> None:
        """Write every byte into `target`, [size] uint8 in host memory."""
        if self._file is None:
            target[: self.bytes].copy_(self.memory)
            return
        self._file.read(self.name, target[: self.own_bytes])
        if self._pages is not None:
            target[self.own_bytes : self.bytes].copy_(self._pages.memory)

    def rest(self) -> None:
        """Point the module at its tensors at rest."""
        for table, leaf, tensor in self._rest:
            table[leaf] = tensor

    def settings(self, memory: Tensor) -> list[Setting]:
        """Return the tensors that a copy of the slab in `memory`, [size] uint8, holds."""
        return [(cell.table, cell.leaf, cell.view(memory)) for cell in self.cells]

    def repack(self, module: nn.Module) -> bool:
        """Make the tail what adapters put into `module` by now; return whether anything moved."""
        own, tail = self._sorted(module)
        if not tail and not self.tail_bytes:
            return False
        taken = [(owner, path, leaf, tensor.clone()) for owner, path, leaf, tensor in tail]
        cells = lay_out(taken, self.own_bytes)
        self._resize(_end(cells, self.own_bytes))
        for cell, (*_, tensor) in zip(cells, taken, strict=True):
            self._at_rest(cell).copy_(tensor)
        self.cells, self._own_count = (*own, *cells), len(own)
        self._keep_rest()
        return True

    @contextmanager
    def lend(self, owner: nn.Module) -> Iterator[None]:
        """Give a module of the slab real tensors of its own while the block runs."""
        cells = [cell for cell in self.own if cell.owner is owner]
        kept = [(cell.table, cell.leaf, cell.table[cell.leaf]) for cell in cells]
        memory = self._own_memory()
        for cell in cells:
            tensor = cell.kept(cell.view(memory).detach().clone())
            cell.table[cell.leaf] = tensor
            self._lent[id(owner), cell.leaf] = weakref.ref(tensor)
        del memory
        try:
            yield
        finally:
            for table, leaf, resting in kept:
                table[leaf] = resting

    def close(self) -> None:
        """Let go of its memory; no copy from it may be under way."""
        if self._pages is not None:
            self._pages.release()

    def _own_memory(self) -> Tensor:
        """Return the bytes of the module's own tensors, [own_bytes] uint8 in host memory."""
        if self._file is None:
            return self.memory[: self.own_bytes]
        memory = torch.empty(self.own_bytes, dtype=torch.uint8)
        self._file.read(self.name, memory)
        return memory

    def _sorted(self, module: nn.Module) -> tuple[list[Cell], list[Found]]:
        """Return the cells whose tensors the module still has, and all tensors that are others'."""
        own = {(id(cell.owner), cell.leaf): cell for cell in self.own}
        resting = {id(tensor) for _, _, tensor in self._rest[: self._own_count]}
        kept, tail = [], []
        for owner, path, leaf, tensor in tensors_of(module):
            cell, lent = own.get((id(owner), leaf)), self._lent.get((id(owner), leaf))
            if cell is not None and (id(tensor) in resting or (lent and lent() is tensor)):
                kept.append(cell)
            else:
                tail.append((owner, path, leaf, tensor))
        return kept, tail

    def _resize(self, size: int) -> None:
        """Get memory for `size` bytes; what the module owns moves along."""
        before = self._pages
        if before is not None and len(before.memory) == size - self._start:
            return
        self._pages = Pages(size - self._start, self._device) if size > self._start else None
        if before is not None and self._pages is not None and not self._start:
            self._pages.memory[: self.own_bytes].copy_(before.memory[: self.own_bytes])

    @property
    def _start(self) -> int:
        """Where the part of the slab that lies in memory begins."""
        return 0 if self._file is None else self.own_bytes

    def _at_rest(self, cell: Cell) -> Tensor:
        """Return a tensor in memory, or one without any where it lies in a file."""
        if self._pages is None or cell.offset < self._start:
            return cell.shadow()
        return cell.view(self._pages.memory, self._start)

    def _keep_rest(self) -> None:
        self._rest = [(cell.table, cell.leaf, self._at_rest(cell)) for cell in self.cells]
        self.rest()
