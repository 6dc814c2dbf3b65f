"""Which way a model goes from noise to picture."""

from __future__ import annotations

import itertools

import pytest
import torch
from safetensors.torch import load_file

from engine.request import Request
from engine.sampling import twinflow
from engine.sampling.samplers import SAMPLERS
from engine.sampling.schedules import schedule
from engine.tasks.course import choose_course, reused
from engine.tasks.text_to_image import noise
from engine.variants import VARIANTS, Solver, by_name
from tests.engine.workbench import model_of


@pytest.mark.parametrize("name", [v.name for v in VARIANTS if v.solver is Solver.FLOW])
def test_most_models_follow_the_schedule_and_sampler_of_the_request(name):
    course = choose_course(Request(prompt="x", steps=6, shift=2.0), by_name(name))
    assert torch.equal(course.sigmas, schedule(6, 2.0))
    assert course.targets is None
    assert course.sampler(lambda step: torch.zeros(1)) is SAMPLERS["euler"]


def test_twinflow_goes_its_own_way():
    request = Request(prompt="x", steps=4, shift=9.0)
    course = choose_course(request, by_name("twinflow-turbo"))
    assert torch.equal(course.sigmas, twinflow.schedule(4))
    assert torch.equal(course.targets, twinflow.target_times(course.sigmas))


def test_steps_are_saved_where_the_request_asks_and_the_model_heeds_it():
    asked = Request(prompt="x", steps=20, shift=2.0, step_cache=0.1)
    course = choose_course(asked, by_name("base"))
    first, second = course.extras().step_cache, course.extras().step_cache
    assert first is not None
    assert first is not second
    for name, request in (("base", asked.with_values(step_cache=0.0)), ("turbo", asked)):
        assert choose_course(request, by_name(name)).extras().step_cache is None
    twinflow = choose_course(asked.with_values(steps=4), by_name("twinflow-turbo")).extras()
    assert twinflow.step_cache is None
    assert twinflow.targets is not None


def test_the_recipe_says_which_steps_were_reused():
    assert reused((), 20) == ""
    assert reused((3, 5), 20) == "steps 4, 6 of 20 reuse most of an earlier one"


def test_the_draws_of_a_seed_are_its_own_and_differ():
    draws = [noise(3, 2, 64, 64, draw=draw) for draw in range(3)]
    assert torch.equal(draws[0], noise(3, 2, 64, 64))
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
    # Alone or in a batch.
    assert torch.equal(noise(4, 1, 64, 64, draw=2), draws[2][1:])


def test_a_twinflow_picture_is_that_of_its_formula(bench, ask, tiny_model):
    """The same steps, written out once more and plainly, on the same network."""
    asked = ask(steps=3, variant="twinflow-turbo")
    bench.run(asked, latents=bench.folder / "latents.safetensors")
    found = load_file(bench.folder / "latents.safetensors")["latents"]
    model = model_of(bench)
    net = model.transformer
    caption = model.recall(asked.prompt, "")
    context = net.arrange([caption], 8, 8)
    x, sigmas = noise(7, 1, 64, 64), [0.999, 0.7495, 0.5, 0.0]
    with torch.inference_mode():
        for step, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
            time, target = 1 - sigma, 1 - following if following else 0.0
            modulation = net.modulate(torch.tensor([time]), torch.tensor([target]))
            velocity = -net(x, modulation, context)
            clean = x - sigma * velocity
            fresh = noise(7, 1, 64, 64, draw=step + 1)
            x = (1 - following) * clean + following * fresh if following else clean
    assert torch.allclose(found, x, atol=1e-3, rtol=1e-4)


def test_a_twinflow_picture_is_the_same_alone_and_in_a_batch(bench, ask):
    together = bench.paint(ask(steps=3, variant="twinflow-turbo", count=2))
    alone = bench.paint(ask(steps=3, variant="twinflow-turbo", seed=8))
    assert together[1] == alone[0]
    assert bench.paint(ask(steps=3))[0] != together[0]
