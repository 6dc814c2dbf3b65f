"""A job under way: what it has decided, what it has told, and what it has made so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.errors import Cancelled
from engine.events import Stage
from engine.jobs.order import Hooks, Order, Step
from engine.lora.apply import Adapter
from engine.memory.studio import Place
from engine.request import Request
from engine.sampling.guidance import Guidance
from engine.tasks.course import Course, choose_course


@dataclass(slots=True, kw_only=True)
class Job:
    """A job under way: its complete request, its hooks, and what it took so far.

    latents: finished batches, [b, 16, h, w] float32 each, and pictures: decoded ones, [H, W, 3]
    uint8 each, both on the CPU. They outlast an attempt that ran out of memory. evaluations: those
    of the model for one picture, two in a step with guidance.
    """

    order: Order
    hooks: Hooks
    request: Request
    checkpoint: Checkpoint
    place: Place
    adapters: tuple[Adapter, ...]
    stage: Stage = Stage.LOADING
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)
    evaluations: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures in pixels."""
        return self.request.width or 0, self.request.height or 0

    @property
    def guidance(self) -> Guidance:
        """How the request guides."""
        return Guidance(
            scale=self.request.guidance_scale or 0.0,
            normalization=self.request.cfg_normalization,
            truncation=self.request.cfg_truncation,
        )

    @property
    def course(self) -> Course:
        """The way from noise to picture."""
        return choose_course(self.request, self.checkpoint.variant)

    @property
    def plan(self) -> str:
        """How the memory is used, in words for the recipe."""
        return f"whole model on {self.place.device}"

    def warn(self, message: str) -> None:
        """Tell the user something, and keep it for the recipe; once each."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.hooks.warn(message)

    def check(self) -> None:
        """Raise `Cancelled` if the user stopped the job."""
        if self.hooks.cancelled():
            raise Cancelled("The job was cancelled.")

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        """Tell that a stage begins, and measure it."""
        self.check()
        self.stage = stage
        self.hooks.emit(Step(stage=stage))
        began = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + passed
