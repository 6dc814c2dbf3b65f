"""A device as the ring of slots sees it: memory, a stream that computes, and one that copies.

CUDA and ROCm share one interface in PyTorch. The CPU and Apple's GPU have no streams of their own
here: each copy is done when it was asked for.
"""

from __future__ import annotations

import logging
import mmap
import sys
from typing import Any, Final, Protocol

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

_PROOF_BYTES: Final = 1 << 20
_PROOF_ROUNDS: Final = 8


def mapped(size: int) -> Tensor:
    """Return fresh memory of the system, [size] uint8, that goes back to it at once when freed."""
    if sys.platform == "win32":
        pages = mmap.mmap(-1, max(size, 1))
    else:
        pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=torch.uint8)[:size]


class Mark(Protocol):
    """A point in the work of a stream that the other stream, or the host, can wait for."""

    def record(self, *, copying: bool) -> None:
        """Set it behind what the copying stream, or else the computing one, was asked so far."""
        ...

    def hold(self, *, copying: bool) -> None:
        """Let that stream wait until the mark, as it stands now, is reached."""
        ...

    def wait(self) -> None:
        """Let the calling thread wait for it."""
        ...


class Accelerator(Protocol):
    """A device. in_host: its memory is the computer's own, and it computes when asked to."""

    @property
    def in_host(self) -> bool:
        """Say whether the host can write straight into its memory."""
        ...

    def allocate(self, size: int) -> Tensor:
        """Return `size` bytes of the device's memory, [size] uint8."""
        ...

    def mark(self) -> Mark:
        """Return a mark that is reached until it is recorded."""
        ...

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy host memory `source` to `target`, both [size] uint8, on the copying stream."""
        ...

    def lock(self, memory: Tensor) -> bool:
        """Lock pages of the host, [size] uint8, so that the device copies from them by itself."""
        ...

    def unlock(self, memory: Tensor) -> None:
        """Undo `lock` of the same memory, [size] uint8."""
        ...

    def finish(self) -> None:
        """Wait until the device has done everything."""
        ...


class _Reached:
    """A mark where everything is done in the order in which it was asked for."""

    def record(self, *, copying: bool) -> None:
        """Do nothing."""

    def hold(self, *, copying: bool) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Do nothing."""


class Plain:
    """A device that copies when asked to, in line with what it computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def in_host(self) -> bool:
        """Say whether the host can write straight into its memory."""
        return self._device.type == "cpu"

    def allocate(self, size: int) -> Tensor:
        """Return `size` bytes of the device's memory, [size] uint8."""
        return torch.empty(size, dtype=torch.uint8, device=self._device)

    def mark(self) -> Mark:
        """Return a mark."""
        return _Reached()

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy `source` to `target`, both [size] uint8."""
        target.copy_(source)

    def lock(self, memory: Tensor) -> bool:
        """Lock nothing: the device copies [size] uint8 from any memory as well."""
        return False

    def unlock(self, memory: Tensor) -> None:
        """Do nothing with [size] uint8."""

    def finish(self) -> None:
        """Wait until the device has done everything."""
        if self._device.type == "mps":
            torch.mps.synchronize()
        elif self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class _CudaMark:
    """An event, and the two streams of a card."""

    def __init__(self, device: torch.device, copying: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event()
        self._device = device
        self._copying = copying

    def record(self, *, copying: bool) -> None:
        """Record the event."""
        self._event.record(self._stream(copying))

    def hold(self, *, copying: bool) -> None:
        """Let a stream wait for the event; the host does not."""
        self._stream(copying).wait_event(self._event)

    def wait(self) -> None:
        """Let the calling thread wait for the event."""
        self._event.synchronize()

    def _stream(self, copying: bool) -> torch.cuda.Stream:
        return self._copying if copying else torch.cuda.current_stream(self._device)


class Cuda:
    """A card with a stream of its own for copies; from locked pages they pass the host by."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copying = torch.cuda.Stream(device)
        self._runtime: Any = torch.cuda.cudart()

    @property
    def in_host(self) -> bool:
        """Say that the host cannot write into a card's memory."""
        return False

    def allocate(self, size: int) -> Tensor:
        """Return `size` bytes of the card's memory, [size] uint8."""
        return torch.empty(size, dtype=torch.uint8, device=self._device)

    def mark(self) -> Mark:
        """Return a mark."""
        return _CudaMark(self._device, self._copying)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy `source` to `target`, both [size] uint8, without waiting if `source` is locked."""
        with torch.cuda.stream(self._copying):
            target.copy_(source, non_blocking=True)

    def lock(self, memory: Tensor) -> bool:
        """Lock pages, [size] uint8; False where the system refuses."""
        with torch.cuda.device(self._device):
            code = self._runtime.cudaHostRegister(memory.data_ptr(), memory.nbytes, 0)
        if code == self._runtime.cudaError.success:
            return True
        _log.warning(
            "%d bytes could not be page-locked (code %s); they are copied in two steps",
            memory.nbytes, code,
        )  # fmt: skip
        self._clear_error()
        return False

    def unlock(self, memory: Tensor) -> None:
        """Undo `lock` of the same memory, [size] uint8; nothing may be copying from it."""
        with torch.cuda.device(self._device):
            code = self._runtime.cudaHostUnregister(memory.data_ptr())
        if code != self._runtime.cudaError.success:
            _log.warning("%d bytes stay page-locked (code %s)", memory.nbytes, code)
            self._clear_error()

    def finish(self) -> None:
        """Wait until the card has done everything."""
        torch.cuda.synchronize(self._device)

    def _clear_error(self) -> None:
        """Let the next launch, which would be blamed for the refusal, be one that can fail."""
        try:
            torch.zeros(1, device=self._device).add_(1)
        except RuntimeError as error:
            _log.info("the driver reported it once more: %s", str(error).splitlines()[0])


def accelerator_for(device: torch.device) -> Accelerator:
    """Return the device; a card copies beside its computing once that was seen to give the same."""
    if device.type != "cuda":
        return Plain(device)
    try:
        card = Cuda(device)
        if copies_right(card):
            return card
        _log.warning("copies beside the computing spoil it on %s; they are done in turn", device)
    except (RuntimeError, AttributeError) as error:
        _log.warning("no copies beside the computing on %s: %s", device, error)
    return Plain(device)


def copies_right(device: Accelerator) -> bool:
    """Say whether bytes that went through two slots, each used again at once, come out right."""
    sources = [mapped(_PROOF_BYTES).fill_(number) for number in range(_PROOF_ROUNDS)]
    locked = [memory for memory in sources if device.lock(memory)]
    slots = [(device.allocate(_PROOF_BYTES), device.mark(), device.mark()) for _ in range(2)]
    for _, _, free in slots:
        free.record(copying=False)
    sums = []
    for number, memory in enumerate(sources):
        slot, ready, free = slots[number % 2]
        free.hold(copying=True)
        device.copy(slot, memory)
        ready.record(copying=True)
        ready.hold(copying=False)
        sums.append(slot.sum(dtype=torch.int64))
        free.record(copying=False)
    device.finish()
    for memory in locked:
        device.unlock(memory)
    return [int(found) for found in sums] == [_PROOF_BYTES * n for n in range(_PROOF_ROUNDS)]
