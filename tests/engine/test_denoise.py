"""The loop with guidance on part of the steps, and with steps that reuse an earlier one."""

from __future__ import annotations

import itertools

import pytest
import torch

from engine.checkpoints.open import open_model
from engine.denoise import Conditions, Denoiser, Extras, denoise
from engine.memory.pieces import Tour
from engine.memory.place import Place
from engine.memory.studio import Studio
from engine.memory.work import Plan, Source
from engine.model.transformer import Transformer
from engine.request import Precision
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from engine.sampling.schedules import schedule
from engine.sampling.step_cache import StepCache
from engine.variants.step_saving import FIRST_STEPS, LAST_STEPS
from tests.tiny import TRANSFORMER, save_tiny_model

STEPS = 12
SIGMAS = schedule(STEPS, 3.0)
GUIDED = Guidance(scale=2.0)
FAR = 100.0
"""A threshold that lets every step be near that may be."""


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(3)
    network = Transformer(TRANSFORMER)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.fixture
def visits(transformer):
    """How many sequences of tokens went through each main layer, visit by visit."""
    seen = {number: [] for number in range(len(transformer.layers))}
    handles = [
        layer.register_forward_pre_hook(
            lambda _, given, number=number: seen[number].append(given[0].shape[:2].numel())
        )
        for number, layer in enumerate(transformer.layers)
    ]
    yield seen
    for handle in handles:
        handle.remove()


def conditions(lengths=(32, 32)) -> Conditions:
    generator = torch.Generator().manual_seed(1)
    positive, negative = (torch.randn(length, 64, generator=generator) for length in lengths)
    return Conditions(positive=[positive], negative=[negative])


def start():
    return torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(2))


def run(transformer, guidance=GUIDED, extras=None, lengths=(32, 32)):
    extras = extras or Extras()
    denoiser = Denoiser(transformer, conditions(lengths), guidance, SIGMAS, (8, 8), extras)
    latents = denoise(denoiser, start(), SIGMAS, SAMPLERS["euler"], lambda step, clean: None)
    return denoiser, latents


def saving(threshold: float, on_skip=lambda: None) -> Extras:
    return Extras(step_cache=StepCache(threshold, STEPS), on_skip=on_skip)


@pytest.mark.parametrize("lengths", [(32, 32), (32, 64)], ids=["dense", "ragged"])
@pytest.mark.parametrize("guidance", [GUIDED, Guidance()], ids=["guided", "plain"])
def test_where_no_step_is_near_nothing_changes_to_the_bit(transformer, guidance, lengths):
    full, expected = run(transformer, guidance, lengths=lengths)
    watched, found = run(transformer, guidance, saving(1e-9), lengths)
    assert torch.equal(found, expected)
    assert watched.evaluations == full.evaluations == STEPS * (2 if guidance.scale else 1)
    assert watched.skipped == full.skipped == ()


def test_a_step_that_is_near_computes_the_first_layer_alone(transformer, visits):
    told = []
    denoiser, _ = run(transformer, extras=saving(FAR, lambda: told.append(len(visits[0]))))
    skipped = len(denoiser.skipped)
    assert 0 < skipped < STEPS - FIRST_STEPS - LAST_STEPS
    assert len(visits[0]) == STEPS
    assert len(visits[1]) == STEPS - skipped
    assert denoiser.evaluations == 2 * (STEPS - skipped)
    # Told while the step is under way: the round that ends is its own.
    assert told == [step + 1 for step in denoiser.skipped]


def test_a_reused_step_adds_what_the_others_added_to_what_the_first_layer_gives(transformer):
    denoiser, _ = run(transformer, extras=saving(FAR))
    modulation = transformer.modulate(1 - SIGMAS[:-1])
    both = (*conditions().positive, *conditions().negative)
    context = transformer.arrange(both, 8, 8)
    latents, rest = start(), None
    with torch.inference_mode():
        for step, (sigma, following) in enumerate(itertools.pairwise(SIGMAS)):
            now, x = modulation.at(step), torch.cat([latents, latents])
            _, first = transformer.begin(x, now, context)
            if step not in denoiser.skipped:
                rest = transformer.rest(first, now, context) - first
            answer = transformer.end(first + rest, now, context, (8, 8))
            velocity = -GUIDED.combine(*answer.chunk(2))
            latents = latents + (following - sigma) * velocity
    assert torch.allclose(run(transformer, extras=saving(FAR))[1], latents, atol=1e-4)


def test_both_branches_of_guidance_go_the_same_way(transformer, visits):
    run(transformer, extras=saving(FAR))
    assert set(visits[0]) == set(visits[1]) == {2 * (32 + 32)}


def test_guidance_that_ends_early_halves_the_tokens_from_there_on(transformer, visits):
    denoiser, _ = run(transformer, Guidance(scale=2.0, truncation=0.4))
    guided = sum(1 for sigma in SIGMAS[:-1] if 1 - float(sigma) <= 0.4)
    assert 0 < guided < STEPS
    assert visits[0] == [2 * 64] * guided + [64] * (STEPS - guided)
    assert denoiser.evaluations == STEPS + guided


def test_the_step_after_guidance_ended_is_computed(transformer):
    guidance = Guidance(scale=2.0, truncation=0.4)
    denoiser, _ = run(transformer, guidance, saving(FAR))
    ended = next(step for step in range(STEPS) if not guidance.active(float(SIGMAS[step])))
    assert ended not in denoiser.skipped
    assert denoiser.skipped


def test_a_picture_with_saved_steps_is_the_same_again(transformer):
    assert torch.equal(
        run(transformer, extras=saving(FAR))[1], run(transformer, extras=saving(FAR))[1]
    )


PIECES = ("noise_refiner.0", "layers.0", "layers.1")


@pytest.mark.parametrize("streamed", [PIECES, PIECES[:2], PIECES[:1], PIECES[1:], PIECES[2:]])
def test_saved_steps_of_a_streamed_model_are_those_of_a_resident_one(tmp_path, streamed):
    save_tiny_model(tmp_path)
    checkpoint = open_model(tmp_path)
    place = Place(device="cpu", precision=Precision.FP32)
    latents, skipped = [], []
    for names in ((), streamed):
        pieces = frozenset(f"transformer.{name}" for name in names)
        plan = Plan(device="cpu", precision="fp32", streamed=pieces, slots=2, source=Source.PAGED)
        model = Studio().model(checkpoint, place, lambda: None, plan, tmp_path)
        with torch.inference_mode(), model.visiting(Tour.DENOISE, STEPS) as visits:
            denoiser, found = run(model.transformer, extras=saving(FAR, visits.skip))
        latents.append(found)
        skipped.append(denoiser.skipped)
    assert torch.equal(*latents)
    assert skipped[0] == skipped[1] != ()
