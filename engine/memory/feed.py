"""How slabs come into slots: straight from locked pages, or through a stage that a thread fills."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from torch import Tensor

from engine.memory.accelerator import Accelerator, Mark
from engine.memory.slab import Pages, Slab

_STAGES: Final = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """Memory of the device that holds one slab at a time, [size] uint8.

    ready: the last copy into it has ended. free: what computed with it has.
    """

    memory: Tensor
    ready: Mark
    free: Mark


class Arrival(Protocol):
    """A slab on its way into a slot."""

    def meet(self) -> None:
        """Let the computing stream wait for it; raise what went wrong on the way."""
        ...

    def drop(self) -> None:
        """Make sure that nothing more is asked of the slot on its behalf."""
        ...


@dataclass(frozen=True, slots=True)
class _Sent:
    """A copy that the device makes by itself."""

    slot: Slot

    def meet(self) -> None:
        """Let the computing stream wait for the copy."""
        self.slot.ready.hold(copying=False)

    def drop(self) -> None:
        """Do nothing: later copies stand behind this one in the same stream."""


@dataclass(frozen=True, slots=True)
class _Brought:
    """A slab that the thread fetches, and then has the device copy."""

    slot: Slot
    asked: Future[None]

    def meet(self) -> None:
        """Wait until it was fetched, and let the computing stream wait for the copy."""
        self.asked.result()
        self.slot.ready.hold(copying=False)

    def drop(self) -> None:
        """Call it off; what is being fetched right now is waited for."""
        if not self.asked.cancel():
            wait([self.asked])


class Feed:
    """Sends slabs on their way, each by the shortest."""

    def __init__(self, device: Accelerator) -> None:
        self._device = device
        self._thread: ThreadPoolExecutor | None = None
        self._stages: list[tuple[Pages, Mark]] = []

    def send(self, slab: Slab, slot: Slot) -> Arrival:
        """Have a slab copied into a slot, once that is free."""
        if slab.locked:
            self._copy(slab.memory, slot)
            return _Sent(slot)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="slabs")
        return _Brought(slot, self._thread.submit(self._bring, slab, slot))

    def close(self) -> None:
        """End the thread, and let go of the stages."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        for pages, _ in self._stages:
            pages.release()
        self._thread, self._stages = None, []

    def _bring(self, slab: Slab, slot: Slot) -> None:
        if self._device.in_host:
            # Whoever computes there has left the slot by the time it is sent for.
            slab.fill(slot.memory)
            return
        # As large as any slab: locking pages in the middle of a tour may make the device wait.
        pages, copied = self._stage(len(slot.memory))
        slab.fill(pages.memory)
        self._copy(pages.memory[: slab.bytes], slot)
        copied.record(copying=True)

    def _stage(self, size: int) -> tuple[Pages, Mark]:
        """Return the stage that was copied from the longest ago, once that copy has ended."""
        full = len(self._stages) == _STAGES
        pages, copied = self._stages.pop(0) if full else (None, self._device.mark())
        copied.wait()
        if pages is None or len(pages.memory) < size:
            if pages is not None:
                pages.release()
            pages = Pages(size, self._device)
        self._stages.append((pages, copied))
        return pages, copied

    def _copy(self, source: Tensor, slot: Slot) -> None:
        slot.free.hold(copying=True)
        self._device.copy(slot.memory[: len(source)], source)
        slot.ready.record(copying=True)
