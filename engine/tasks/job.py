"""A job under way: what it has decided, what it has told, and what it has made so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.errors import Cancelled
from engine.events import Outside, Picture, Stage
from engine.jobs.order import Hooks, Order, Step
from engine.lora.apply import Adapter
from engine.memory.ladder import SAID, Concession, Rung, Terms
from engine.memory.place import Place
from engine.memory.work import Plan
from engine.model.vae_strips import Strips
from engine.request import Request
from engine.sampling.guidance import Guidance
from engine.tasks.course import Course, choose_course, reused
from engine.tasks.frame import Frame
from engine.tasks.planning import Planning
from engine.tasks.procedure import Procedure


@dataclass(slots=True, kw_only=True)
class Job:
    """A job under way: its complete request, its hooks, and what it took so far.

    frame, procedure: what is painted, and what its task does with it. planning: makes a plan on
    other terms. plan: the one that holds, made on `terms`. tried: what was given up for it; moved:
    whether weights lie elsewhere for that. latents: finished batches, [b, 16, h, w] float32 each,
    and pictures: finished ones, [H, W, 3] uint8 each, both on the CPU; they outlast an attempt that
    ran out of memory. outside: what lies outside the mask of each finished picture. evaluations:
    those of the model for one picture, two in a step with guidance. reused: of every finished
    batch, the steps, from 0, that were not computed in full. saved: the pictures as files.
    """

    order: Order
    hooks: Hooks
    request: Request
    checkpoint: Checkpoint
    adapters: tuple[Adapter, ...]
    frame: Frame
    procedure: Procedure
    planning: Planning
    terms: Terms
    plan: Plan
    tried: list[Rung] = field(default_factory=list)
    stage: Stage = Stage.LOADING
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)
    outside: list[Outside | None] = field(default_factory=list)
    moved: bool = False
    evaluations: int = 0
    reused: list[tuple[int, ...]] = field(default_factory=list)
    saved: tuple[Picture, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures that are painted, in pixels."""
        return self.frame.size

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
        return choose_course(self.request, self.checkpoint.variant, self.frame.first)

    @property
    def place(self) -> Place:
        """Where the model computes and in which number type."""
        return Place(
            device=self.plan.device,
            precision=self.terms.precision,
            attention=self.order.attention,
        )

    @property
    def strips(self) -> Strips:
        """How pictures pass the autoencoder; a cancel is noticed between two strips."""
        how = self.plan.decode
        return Strips(how.rows, on_strip=self.check, on_host=how.on_host)

    @property
    def is_painted(self) -> bool:
        """Say whether all latents are finished."""
        return sum(map(len, self.latents)) == self.request.count

    @property
    def skipped(self) -> tuple[int, ...]:
        """The steps, from 0, that were not computed in full, of any picture."""
        return tuple(sorted(set(chain(*self.reused))))

    def describe(self, picture: int | None = None) -> str:
        """Return in words how the model lay in memory, and which steps were saved.

        picture: of which one, None = of any; where steps are saved, each is a batch of its own.
        """
        skipped = self.skipped if picture is None else chain(*self.reused[picture : picture + 1])
        saved = reused(tuple(skipped), self.frame.steps - self.frame.first)
        return "; ".join(filter(None, (self.plan.describe(), saved)))

    def concede(self, given: Concession) -> None:
        """Go on with less, and tell so. What is finished stays, unless the precision changes."""
        self.warn(f"Memory ran out while {self.stage}: {SAID[given.rung]}.")
        if given.terms.precision is not self.terms.precision:
            self.latents.clear()
            self.reused.clear()
            self.evaluations = 0
        self.tried.append(given.rung)
        self.moved |= not given.keeps_model
        self.terms, self.plan = given.terms, given.plan

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
        """Tell that a stage begins, and measure it.

        Before the first step the time left is the plan's prediction, where there is one.
        """
        self.check()
        self.stage = stage
        begins = stage in {Stage.LOADING, Stage.ENCODING}
        self.hooks.emit(Step(stage=stage, eta=self.plan.seconds if begins else None))
        began = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            self.seconds[stage.value] = self.seconds.get(stage.value, 0.0) + passed
