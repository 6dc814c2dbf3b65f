"""The training of the Demo family, in miniature."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine.demo.optim import Optimizer, Rates
from engine.demo.pool import Batcher, LatentPool
from engine.demo.recipe import SIZES, VAE
from engine.demo.scenes import FULL
from engine.demo.tokenizer import build_tokenizer
from engine.demo.train_flow import Painter, detail_weight, flow_loss, sample_sigmas
from engine.demo.trainer import Budget, Moment, Run, Trainer, averages
from engine.model.vae import Vae


def _module() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 4, 3))


def _train(folder: Path, steps: int) -> dict[str, Tensor]:
    module = _module()
    run = Run(seed=5, budget=Budget(steps=steps), checkpoint=folder / "toy.safetensors")

    def loss(moment: Moment) -> Tensor:
        return module(torch.randn(8, 2, 4, 4, generator=moment.generator)).square().mean()

    return Trainer(module, Rates(warmup_steps=2), run, ema_decay=0.9).fit(loss)


def test_a_run_of_fixed_steps_is_reproducible(tmp_path: Path) -> None:
    first, second = _train(tmp_path / "a", 6), _train(tmp_path / "b", 6)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_run_continues_from_its_checkpoint(tmp_path: Path) -> None:
    first = _train(tmp_path, 4)
    saved = averages(tmp_path / "toy.safetensors")
    assert all(torch.equal(first[name], saved[name]) for name in first)
    further = _train(tmp_path, 7)
    assert not torch.equal(further["0.weight"], first["0.weight"])
    assert _train(tmp_path, 7).keys() == further.keys()


def test_the_state_of_an_optimizer_is_taken_up_exactly() -> None:
    states = []
    for interrupted in (False, True):
        module = _module()
        optimizer = Optimizer(module, Rates(warmup_steps=1), ema_decay=0.9)
        for step in range(4):
            if interrupted and step == 2:
                saved = optimizer.state()
                module = _module()
                optimizer = Optimizer(module, Rates(warmup_steps=1), ema_decay=0.9)
                optimizer.restore(saved)
            torch.manual_seed(step)
            module(torch.randn(8, 2, 4, 4)).square().mean().backward()
            optimizer.step(step, 0.0)
        states.append(optimizer.state())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_rates_rise_stay_and_fall() -> None:
    rates = Rates(warmup_steps=10, decay_from=0.5, floor=0.02)
    assert rates.factor(0, 0.0) == pytest.approx(0.1)
    assert rates.factor(50, 0.4) == 1.0
    assert rates.factor(50, 0.75) == pytest.approx(0.5)
    assert rates.factor(50, 1.0) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("budget", "progress"),
    [(Budget(steps=10), 0.5), (Budget(minutes=1), 0.25), (Budget(steps=100, minutes=1), 0.25)],
)
def test_the_budget_that_ends_first_counts(budget: Budget, progress: float) -> None:
    assert budget.progress(5, 15.0) == pytest.approx(progress)


def test_noise_levels_lie_between_picture_and_noise() -> None:
    sigmas = sample_sigmas(512, torch.Generator().manual_seed(0))
    assert sigmas.min() > 0
    assert sigmas.max() < 1
    assert 0.5 < sigmas.mean() < 0.75


def test_detail_counts_more_than_a_plain_background() -> None:
    clean = torch.zeros(1, 16, 8, 8)
    clean[..., 2:4, 2:4] = 1.0
    weight = detail_weight(clean)
    assert weight.mean().item() == pytest.approx(1.0)
    assert weight[0, 0, 3, 3] > 3 * weight[0, 0, 7, 7]


def test_a_batch_has_one_size_and_one_caption_length(tmp_path: Path) -> None:
    build_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    torch.manual_seed(0)
    rng = random.Random(1)
    pool = LatentPool(Vae(VAE).requires_grad_(requires_grad=False), FULL, 8, rng)
    batch = Batcher(tokenizer, 4).next({pool: 1.0}, rng)
    assert batch.latents.shape[:2] == (4, 16)
    assert batch.tokens.shape[1] % 32 == 0
    assert all(0 < length <= batch.tokens.shape[1] for length in batch.lengths)
    assert {tuple(batch.latents.shape[:1:-1])} <= {(w // 8, h // 8) for w, h in SIZES}
    painter = Painter()
    loss = flow_loss(painter.velocity, batch, torch.Generator().manual_seed(0))
    loss.backward()
    used = {name for name, p in painter.named_parameters() if p.grad is not None}
    assert used == {name for name, _ in painter.named_parameters()}
