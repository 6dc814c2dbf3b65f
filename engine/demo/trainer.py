"""The training loop shared by every part of the Demo family.

Several single-thread processes share the work: on a busy desktop they wait for each other far less
than the threads of one process do. Every random number follows from (seed, rank, step), so a run of
a fixed number of steps is reproducible.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.demo.optim import Optimizer, Rates

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 120.0
REPORT_EVERY_STEPS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a run ends: after `steps`, or after `minutes` of training, whichever is given."""

    steps: int | None = None
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return how much of the run is done, 0..1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training run: its seed, budget, place among the processes, and checkpoint file."""

    seed: int
    budget: Budget
    checkpoint: Path
    rank: int = 0
    ranks: int = 1

    def rng(self, purpose: str, step: int) -> random.Random:
        """Return the random numbers of this process for one purpose at one step."""
        return random.Random(f"{self.seed}/{self.rank}/{purpose}/{step}")  # noqa: S311


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a run stands: step, progress 0..1, and the random numbers of this step."""

    step: int
    progress: float
    rng: random.Random
    generator: torch.Generator


class Trainer:
    """Fits one module; the loss is given as a function of the moment."""

    def __init__(self, module: nn.Module, rates: Rates, run: Run, ema_decay: float) -> None:
        self.run = run
        self.optimizer = Optimizer(module, rates, ema_decay)
        self.step = 0
        self.seconds = 0.0
        if run.checkpoint.exists():
            self._resume()

    def fit(self, loss: Callable[[Moment], Tensor]) -> dict[str, Tensor]:
        """Train until the budget is spent; return the averaged weights by parameter name."""
        progress = self.run.budget.progress(self.step, self.seconds)
        started = time.monotonic() - self.seconds
        saved_at = self.seconds
        losses: list[float] = []
        while progress < 1.0:
            rng = self.run.rng("step", self.step)
            generator = torch.Generator().manual_seed(rng.getrandbits(60))
            value = loss(Moment(self.step, progress, rng, generator))
            value.backward()
            losses.append(value.item())
            progress = self._share(self.run.budget.progress(self.step + 1, self.seconds))
            self.optimizer.step(self.step, progress)
            self.step += 1
            self.seconds = time.monotonic() - started
            if self.step % REPORT_EVERY_STEPS == 0:
                mean = sum(losses) / len(losses)
                log.info("step %d, %.0f s, loss %.4f", self.step, self.seconds, mean)
                losses.clear()
            if self.seconds - saved_at > SAVE_EVERY_SECONDS or progress >= 1.0:
                saved_at = self.seconds
                self._save()
        return self.optimizer.average

    def _share(self, progress: float) -> float:
        """Average gradients over the processes; return the progress of the first process."""
        if self.run.ranks == 1:
            return progress
        gradients = self.optimizer.gradients()
        mine = progress * self.run.ranks if self.run.rank == 0 else 0.0
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([mine])])
        dist.all_reduce(flat)
        flat /= self.run.ranks
        *shares, shared = flat.split([g.numel() for g in gradients] + [1])
        for gradient, share in zip(gradients, shares, strict=True):
            gradient.copy_(share.view_as(gradient))
        return float(shared.item())

    def _save(self) -> None:
        if self.run.rank != 0:
            return
        self.run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.run.checkpoint.with_suffix(".partial")
        notes = {"step": str(self.step), "seconds": str(self.seconds)}
        save_file(self.optimizer.state(), partial, metadata=notes)
        partial.replace(self.run.checkpoint)

    def _resume(self) -> None:
        with safe_open(self.run.checkpoint, framework="pt") as file:
            self.optimizer.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            notes = file.metadata()
        self.step, self.seconds = int(notes["step"]), float(notes["seconds"])
        log.info("continuing from step %d, %.0f s", self.step, self.seconds)


def averages(checkpoint: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint by parameter name, as `fit` does."""
    prefix = "average."
    with safe_open(checkpoint, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
