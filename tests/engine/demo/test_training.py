"""The training of the Demo family, in miniature."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine.demo.edit_pool import EditBatcher, EditPool, Encoders, without_pictures
from engine.demo.edits import EDIT_MIX, sample_edit
from engine.demo.optim import Optimizer, Rates
from engine.demo.pool import Batcher, LatentPool
from engine.demo.recipe import SIZES, VAE
from engine.demo.scenes import FULL
from engine.demo.tokenizer import build_tokenizer
from engine.demo.train_flow import Painter, detail_weight, flow_loss, sample_sigmas
from engine.demo.train_omni import new_editor
from engine.demo.trainer import Budget, Moment, Run, Trainer, averages
from engine.demo.vision import build_vision_encoder
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


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    torch.manual_seed(0)
    return Encoders(Vae(VAE).requires_grad_(requires_grad=False), build_vision_encoder())


@pytest.mark.parametrize("combined", [False, True])
def test_a_batch_of_edits_has_one_layout_and_teaches_every_weight(
    tokenizer: Tokenizer, encoders: Encoders, *, combined: bool
) -> None:
    rng = random.Random(1)
    pool = EditPool(encoders, 8, rng, combined=combined)
    batch = EditBatcher(tokenizer, 3).next(pool, rng)
    assert batch.latents.shape[:2] == (3, 16)
    assert len(batch.references) == (2 if combined else 1)
    assert len(batch.tokens) == len(batch.lengths) == len(batch.references) + 2
    for reference in batch.references:
        assert reference.latents.shape == batch.latents.shape
        assert reference.features.shape[0] == 3
        assert reference.features.shape[1] * reference.features.shape[2] <= 32
    for tokens, lengths in zip(batch.tokens, batch.lengths, strict=True):
        assert tokens.shape[1] % 32 == 0
        assert len(lengths) == 3
        assert all(0 < length <= tokens.shape[1] for length in lengths)
    editor = new_editor({})
    flow_loss(editor.velocity, batch, torch.Generator().manual_seed(0)).backward()
    used = {name for name, p in editor.named_parameters() if p.grad is not None}
    assert used == {name for name, _ in editor.named_parameters()}


def test_an_edit_that_leads_back_swaps_what_was_encoded(encoders: Encoders) -> None:
    edit = sample_edit(random.Random(2), "add", EDIT_MIX)
    encoded = encoders.encode([edit], (128, 128))[0]
    back = encoded.reversed()
    assert back.edit.kind == "remove"
    assert torch.equal(back.latents[0], encoded.latents[1])
    assert torch.equal(back.features[1], encoded.features[0])


def test_a_caption_alone_is_an_edit_of_nothing(tokenizer: Tokenizer, encoders: Encoders) -> None:
    rng = random.Random(3)
    captioned = Batcher(tokenizer, 2).next({LatentPool(encoders.vae, FULL, 4, rng): 1.0}, rng)
    batch = without_pictures(captioned)
    assert batch.references == ()
    assert [len(lengths) for lengths in batch.lengths] == [2]
    with torch.no_grad():
        found = new_editor({}).velocity(batch.latents, torch.rand(2), batch)
    assert found.shape == batch.latents.shape


def test_the_vision_encoder_is_the_same_at_every_call() -> None:
    first, second = build_vision_encoder().state_dict(), build_vision_encoder().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(value, value.half().float()) for value in first.values())
