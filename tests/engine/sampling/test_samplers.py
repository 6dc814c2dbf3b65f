from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.sampling.samplers import SAMPLERS, Sampler
from engine.sampling.schedules import schedule

FIRST_ORDER = {"euler": 1}


def _keep(latents: Tensor, clean: Tensor, step: int) -> Tensor:
    return latents


def _final(sampler: Sampler, field: Callable[[Tensor, float], Tensor], steps: int) -> Tensor:
    sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    start = torch.ones(1, 16, 2, 2, dtype=torch.float64)
    return sampler(lambda x, step: field(x, float(sigmas[step])), start, sigmas, _keep)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_constant_velocity_is_followed_exactly(name: str) -> None:
    clean = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    found = SAMPLERS[name](lambda x, step: noise - clean, noise, schedule(5, 3.0), _keep)
    assert torch.allclose(found, clean, atol=1e-5)


@pytest.mark.parametrize(("name", "order"), FIRST_ORDER.items())
def test_the_error_on_a_linear_ode_falls_with_the_order(name: str, order: int) -> None:
    exact = torch.tensor(-1.0, dtype=torch.float64).exp()
    errors = [
        (_final(SAMPLERS[name], lambda x, s: x, steps) - exact).abs().max().item()
        for steps in (64, 128)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_is_one_evaluation_and_draws_no_random_number(name: str) -> None:
    calls: list[int] = []

    def velocity(latents: Tensor, step: int) -> Tensor:
        calls.append(step)
        return torch.zeros_like(latents)

    before = torch.random.get_rng_state()
    SAMPLERS[name](velocity, torch.zeros(1, 16, 2, 2), schedule(6, 3.0), _keep)
    assert calls == list(range(6))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_the_hook_returns_is_what_goes_on(name: str) -> None:
    found = SAMPLERS[name](
        lambda x, step: torch.ones_like(x),
        torch.zeros(1, 16, 2, 2),
        schedule(3, 1.0),
        lambda latents, clean, step: torch.full_like(latents, step),
    )
    assert torch.equal(found, torch.full_like(found, 2))
