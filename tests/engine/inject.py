"""Faults on purpose."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine.jobs.order import Hooks, Step


class OutOfMemoryAt(TorchDispatchMode):
    """Raises torch's out-of-memory error at operation `k` of what runs inside; counts them all."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if self.count == self.k:
            raise torch.OutOfMemoryError("injected")
        return func(*args, **(kwargs or {}))


class Told:
    """Hooks that remember, and cancel when `stop` says so."""

    def __init__(self, stop=lambda _told: False) -> None:
        self.steps: list[Step] = []
        self.warnings: list[str] = []
        self._stop = stop

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            emit=self.steps.append, warn=self.warnings.append, cancelled=lambda: self._stop(self)
        )
