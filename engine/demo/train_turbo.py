"""Trains demo-turbo: a copy of demo-base learns to give the guided prediction by itself.

Guidance distillation (arXiv 2210.03142): the frozen teacher is asked twice, with the caption and
with none, and the student learns their guided combination in one evaluation, mostly at the noise
levels that its few steps visit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.demo.pool import Batch, Batcher, LatentPool
from engine.demo.recipe import SHIFT, TURBO_GUIDANCE, TURBO_RATES, TURBO_STEPS
from engine.demo.scenes import FULL
from engine.demo.train_flow import (
    BATCH,
    POOL,
    Painter,
    Teaching,
    compile_blocks,
    detail_weight,
    sample_sigmas,
    training_precision,
)
from engine.demo.trainer import Moment, Run, Trainer
from engine.model.transformer import SEQUENCE_MULTIPLE
from engine.prompts.reading import TEMPLATE
from engine.sampling.guidance import Guidance
from engine.sampling.schedules import schedule

ON_THE_GRID = 0.6
"""Share of examples at exactly the noise levels of the student's schedule."""


def train_turbo(run: Run, teaching: Teaching) -> dict[str, Tensor]:
    """Distil `teaching.start`; return the averaged weights by parameter name of `Painter`."""
    if teaching.start is None:
        raise ValueError("the turbo model is distilled from a trained base model")
    torch.manual_seed(run.seed)
    teacher, student = Painter(), Painter()
    for painter in (teacher, student):
        painter.load_state_dict({**painter.state_dict(), **teaching.start})
        if teaching.compiled:
            compile_blocks(painter.text_encoder, painter.transformer)
    teacher.requires_grad_(requires_grad=False)
    student.text_encoder.requires_grad_(requires_grad=False)
    trainer = Trainer(student, TURBO_RATES, run, ema_decay=0.995)
    pool = LatentPool(teaching.vae, FULL, POOL, run.rng("pool", trainer.step))
    batcher = Batcher(teaching.tokenizer, BATCH)
    nothing = teaching.tokenizer.encode("".join(TEMPLATE)).ids

    def loss(moment: Moment) -> Tensor:
        pool.refresh(moment.rng, 1)
        batch = batcher.next({pool: 1.0}, moment.rng)
        with training_precision():
            return _distillation_loss(teacher, student, batch, nothing, moment.generator)

    return {**teaching.start, **trainer.fit(loss)}


def _distillation_loss(
    teacher: Painter,
    student: Painter,
    batch: Batch,
    nothing: list[int],
    generator: torch.Generator,
) -> Tensor:
    """Return how far the student is from the guided teacher (a scalar)."""
    clean = batch.latents
    sigma = _sigmas(len(clean), generator)
    level = sigma[:, None, None, None]
    noise = torch.randn(clean.shape, generator=generator)
    noisy = (1 - level) * clean + level * noise
    with torch.no_grad():
        positive = teacher.velocity(noisy, sigma, batch)
        negative = teacher.velocity(noisy, sigma, _uncaptioned(batch, nothing))
        wanted = Guidance(scale=TURBO_GUIDANCE).combine(positive, negative)
    error = student.velocity(noisy, sigma, batch) - wanted
    return (error.square() * detail_weight(clean)).mean()


def _sigmas(count: int, generator: torch.Generator) -> Tensor:
    """Draw noise levels [count], most of them from the student's own schedule."""
    grid = schedule(TURBO_STEPS, SHIFT)[:-1]
    chosen = grid[torch.randint(len(grid), (count,), generator=generator)]
    anywhere = sample_sigmas(count, generator)
    return torch.where(torch.rand(count, generator=generator) < ON_THE_GRID, chosen, anywhere)


def _uncaptioned(batch: Batch, nothing: list[int]) -> Batch:
    """Return the same latents with the empty prompt."""
    count = len(batch.latents)
    tokens = torch.tensor(nothing + [0] * (-len(nothing) % SEQUENCE_MULTIPLE))
    return Batch(batch.latents, tokens.expand(count, -1), [len(nothing)] * count)
