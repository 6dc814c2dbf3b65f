"""Faults on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine import worker
from engine.jobs.order import Hooks, Order, Step


class FailAt(TorchDispatchMode):
    """Raises `fault()` at the operations `first` to `last` of what runs inside; counts them all."""

    def __init__(self, fault: Callable[[], Exception], first: int, last: float) -> None:
        super().__init__()
        self._fault = fault
        self._range = first, last
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if self._range[0] <= self.count <= self._range[1]:
            raise self._fault()
        return func(*args, **(kwargs or {}))


class OutOfMemoryAt(FailAt):
    """Raises torch's out-of-memory error at operation `first`, or at all from it to `last`."""

    def __init__(self, first: int, last: float | None = None) -> None:
        fault = partial(torch.OutOfMemoryError, "injected")
        super().__init__(fault, first, first if last is None else last)


class LostAt(FailAt):
    """Loses the graphics card at operation `first`; no operation after it works either."""

    def __init__(self, first: int) -> None:
        fault = partial(torch.AcceleratorError, "CUDA error: unspecified launch failure", 719)
        super().__init__(fault, first, float("inf"))


def fragile_painter() -> worker.Painter:
    """Return the real painter, which loses its card at operation N of the prompt `lost at N`."""
    real = worker.real_painter()

    def paint(order: Order, hooks: Hooks):
        head, _, number = order.request.prompt.rpartition(" ")
        if head != "lost at":
            return real.paint(order, hooks)
        with LostAt(int(number)):
            return real.paint(order, hooks)

    return dataclasses.replace(real, paint=paint)


def make_fragile() -> None:
    """Have every worker of this process paint so."""
    worker.serve = partial(worker.serve, make_painter=fragile_painter)


class Told:
    """Hooks that remember, and cancel when `stop` says so."""

    def __init__(self, stop=lambda _told: False, on_step=lambda _step: None) -> None:
        self.steps: list[Step] = []
        self.warnings: list[str] = []
        self._stop = stop
        self._on_step = on_step

    @property
    def hooks(self) -> Hooks:
        return Hooks(emit=self._emit, warn=self.warnings.append, cancelled=lambda: self._stop(self))

    def _emit(self, step: Step) -> None:
        self.steps.append(step)
        self._on_step(step)
