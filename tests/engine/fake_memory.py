"""How much memory a computation needs at its peak, counted without doing it.

Under `FakeTensorMode` tensors have shapes, types and places, but no numbers: a decode of 2048 x
2048 pixels takes a moment and no memory. What is counted are the bytes of every storage that the
computation makes, from the operation that makes it until nothing refers to it any more. Scratch
memory inside a kernel is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "cuda:0"
"""A device that need not be there; its number keeps PyTorch from looking."""


class Ledger(TorchDispatchMode):
    """Adds up the storages that live on one kind of device."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.live = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for tensor in _tensors((args, kwargs)):
            self._know(tensor.untyped_storage(), 0)
        found = func(*args, **(kwargs or {}))
        for tensor in _tensors(found):
            storage = tensor.untyped_storage()
            self._know(storage, storage.nbytes() if tensor.device.type == self.kind else 0)
        return found

    def _know(self, storage: torch.UntypedStorage, size: int) -> None:
        """Count a storage when it is first seen; what an operation is given was there before."""
        name = storage._cdata
        if name in self._known:
            return
        self._known[name] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, name)

    def _drop(self, name: int) -> None:
        self.live -= self._known.pop(name)


class NoCopies(TorchFunctionMode):
    """Leaves out copies into a tensor: there is nothing to copy, and they ask for the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.copy_:
            assert args[0].numel() == torch.broadcast_shapes(args[0].shape, args[1].shape).numel()
            return args[0]
        return func(*args, **(kwargs or {}))


def peak_bytes(work: Callable[..., object], *inputs: object, kind: str = "cuda") -> int:
    """Return the most bytes that `work(*inputs)` holds at a time, its inputs not counted.

    Call it with fake tensors, inside `fake()`. `kind` is the kind of device that is counted.
    """
    with Ledger(kind) as ledger:
        work(*inputs)
    return ledger.peak


@contextmanager
def fake() -> Iterator[FakeTensorMode]:
    """Make tensors without numbers, and no gradients, until the end of the block."""
    with FakeTensorMode() as mode, NoCopies(), torch.inference_mode():
        yield mode


def placed(network: nn.Module, dtype: torch.dtype, device: str = DEVICE) -> nn.Module:
    """Give a network fake weights of one type on a device; called under `fake()`."""
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            here = torch.empty(weight.shape, dtype=dtype, device=device)
            setattr(module, name, nn.Parameter(here, requires_grad=False))
    return network.eval()


def _tensors(nest: object) -> Iterator[Tensor]:
    yield from (leaf for leaf in tree_leaves(nest) if isinstance(leaf, Tensor))
