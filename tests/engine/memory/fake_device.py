"""Devices that are made up: one whose streams run at random, and one that keeps virtual time."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from engine.memory.slab import Slab, lay_out, tensors_of

GARBAGE = 255
HALF = 2


class FakeMark:
    """A mark that counts how often it was recorded, and how often that was reached."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.recorded = self.reached = 0

    def record(self, *, copying: bool) -> None:
        with self.device.lock_:
            self.recorded += 1
            self.device.ask(copying, self._reach(self.recorded))

    def hold(self, *, copying: bool) -> None:
        with self.device.lock_:
            wanted = self.recorded
            self.device.ask(copying, self._until(wanted))

    def wait(self) -> None:
        self.device.waits_for(lambda wanted=self.recorded: self.reached >= wanted)

    def _reach(self, number: int) -> Iterator[bool]:
        self.reached = number
        yield True

    def _until(self, wanted: int) -> Iterator[bool]:
        while self.reached < wanted:
            yield False
        yield True


class FakeDevice:
    """Two streams that move on a little, or not, whenever the host asks for something.

    Copies happen in pieces, after the target was spoilt; what computes looks at its memory when it
    begins and when it ends. `races` tells what it found there that should not be.
    """

    def __init__(self, seed: int = 0, *, locks: bool = True) -> None:
        self.random = random.Random(seed)
        self.lock_ = threading.RLock()
        self.streams: tuple[deque[Iterator[bool]], ...] = (deque(), deque())
        self.races: list[str] = []
        self.copies = self.syncs = self.allocated = 0
        self.most_lent = 0
        self.locked: set[int] = set()
        self._lent: list[weakref.ref] = []
        self.touring = False
        self.fail_at: int | None = None
        self._locks = locks
        self._host = threading.current_thread()

    in_host = False

    def allocate(self, size: int) -> Tensor:
        self.allocated += self.touring
        memory = np.full(size, GARBAGE, np.uint8)
        self._lent.append(weakref.ref(memory))
        self.most_lent = max(self.most_lent, sum(lent() is not None for lent in self._lent))
        return torch.from_numpy(memory)

    def mark(self) -> FakeMark:
        return FakeMark(self)

    def copy(self, target: Tensor, source: Tensor) -> None:
        with self.lock_:
            self.copies += 1
            if self.copies == self.fail_at:
                raise RuntimeError("the link broke")
            self.ask(True, self._copy(target, source))

    def lock(self, memory: Tensor) -> bool:
        if self._locks:
            self.locked.add(memory.data_ptr())
        return self._locks

    def unlock(self, memory: Tensor) -> None:
        self.locked.remove(memory.data_ptr())

    def finish(self) -> None:
        self.waits_for(lambda: not any(self.streams))

    def compute(self, memory: Tensor, tag: int) -> None:
        """Compute with memory, [size] uint8, that should hold nothing but `tag`."""
        with self.lock_:
            self.ask(False, self._compute(memory, tag))

    def ask(self, copying: bool, work: Iterator[bool]) -> None:
        self.streams[copying].append(work)
        for _ in range(self.random.randrange(8)):
            self._step()

    def waits_for(self, is_done: Callable[[], bool]) -> None:
        self.syncs += self.touring and threading.current_thread() is self._host
        for _ in range(1_000_000):
            with self.lock_:
                if is_done():
                    return
                moved = self._step()
            if not moved:
                time.sleep(0)
        raise AssertionError("the device waits for ever")

    def _step(self) -> bool:
        """Let one stream do a little; return whether one could."""
        order = [stream for stream in self.streams if stream]
        self.random.shuffle(order)
        for stream in order:
            moved = next(stream[0], None)
            if moved is None:
                stream.popleft()
            if moved is not False:
                return True
        return False

    def _copy(self, target: Tensor, source: Tensor) -> Iterator[bool]:
        target.fill_(GARBAGE)
        yield True
        middle = len(source) // HALF
        target[:middle] = source[:middle]
        yield True
        target[middle:] = source[middle:]

    def _compute(self, memory: Tensor, tag: int) -> Iterator[bool]:
        for moment in ("began", "ended"):
            found = set(memory.flatten().tolist())
            if found != {tag}:
                self.races.append(f"{tag} {moment} with {found}")
            yield True


class ClockMark:
    """A mark in virtual time."""

    def __init__(self, clock: ClockDevice) -> None:
        self.clock, self.at = clock, 0.0

    def record(self, *, copying: bool) -> None:
        self.at = self.clock.now[copying]

    def hold(self, *, copying: bool) -> None:
        self.clock.now[copying] = max(self.clock.now[copying], self.at)

    def wait(self) -> None:
        raise AssertionError("the host waited")


class ClockDevice:
    """Streams in virtual time: a copy takes `copying` seconds a byte, computing what it is told."""

    in_host = False

    def __init__(self, copying: float) -> None:
        self.now = [0.0, 0.0]
        self.copying = copying

    def allocate(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def mark(self) -> ClockMark:
        return ClockMark(self)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self.now[True] += len(source) * self.copying

    def lock(self, memory: Tensor) -> bool:
        return True

    def unlock(self, memory: Tensor) -> None:
        pass

    def finish(self) -> None:
        pass

    def compute(self, seconds: float) -> None:
        self.now[False] += seconds


class Tagged(nn.Module):
    """A module whose tensors hold nothing but its tag."""

    def __init__(self, tag: int, size: int) -> None:
        super().__init__()
        self.tag = tag
        whole = torch.full((size,), tag, dtype=torch.uint8)
        self.weight = nn.Parameter(whole, requires_grad=False)
        self.register_buffer("more", whole.clone())

    def run(self, device: FakeDevice) -> None:
        for tensor in (self.weight, self.more):
            device.compute(tensor.data, self.tag)


class Shelf:
    """A file of slabs that is made up, and may fail at a read."""

    def __init__(self) -> None:
        self.bytes: dict[str, Tensor] = {}
        self.fail_at: int | None = None
        self.reads = 0

    def put(self, slab: Slab) -> None:
        self.bytes[slab.name] = slab.memory.clone()
        slab.shelve(self)

    def read(self, name: str, target: Tensor) -> None:
        self.reads += 1
        if self.reads == self.fail_at:
            raise OSError("the disk broke")
        target.copy_(self.bytes[name])


def slab_of(module: nn.Module, name: str) -> Slab:
    """Return the slab of a module, which is yet to be packed."""
    return Slab(name, lay_out(tensors_of(module)))
