"""A picture to begin with: where it may change, and from which step on."""

from __future__ import annotations

import pytest
import torch

from engine.sampling.known import Known
from engine.sampling.regions import Regional
from engine.sampling.samplers import euler
from engine.sampling.schedules import schedule

SIGMAS = schedule(4, 3.0)


@pytest.fixture
def clean():
    return torch.randn((1, 16, 2, 4), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noise():
    return torch.randn((2, 16, 2, 4), generator=torch.Generator().manual_seed(1))


def levels(*values: float) -> torch.Tensor:
    """One level for each column."""
    return torch.tensor(values).expand(1, 1, 2, len(values)).clone()


def test_noise_hides_a_picture_at_sigma_1_and_is_gone_at_0(clean, noise):
    known = Known(clean)
    assert torch.equal(known.noisy(noise, SIGMAS[0]), noise)
    assert torch.equal(known.noisy(noise, SIGMAS[-1]), clean.expand(2, -1, -1, -1))


def test_without_a_mask_nothing_is_held(clean, noise):
    assert Known(clean).hold(noise, noise, SIGMAS, 0) is noise


def test_what_lies_outside_a_mask_ends_as_it_was(clean, noise):
    known = Known(clean, levels(1, 1, 0, 0))

    def after(latents, _clean, step):
        return known.hold(latents, noise, SIGMAS, step)

    begun = known.noisy(noise, SIGMAS[0])
    done = euler(lambda x, step: torch.cos(x) * (step + 1), begun, SIGMAS, after)
    free = euler(lambda x, step: torch.cos(x) * (step + 1), begun, SIGMAS, lambda x, *_: x)
    assert torch.equal(done[..., 2:], clean[..., 2:].expand(2, -1, -1, -1))
    assert torch.equal(done[..., :2], free[..., :2])


def test_a_lower_level_joins_later(clean, noise):
    known = Known(clean, levels(1, 0.75, 0.3, 0))
    other = torch.full_like(noise, 9.0)
    held = [(known.hold(other, noise, SIGMAS, step) != 9.0)[0, 0, 0].tolist() for step in range(4)]
    assert held == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, True, True],
        [False, False, False, True],
    ]


def test_each_cell_follows_the_velocity_of_its_prompt(noise):
    weights = torch.stack([levels(1, 1, 0, 0)[0], levels(0, 0, 1, 1)[0]])

    def velocity(latents, step):
        first, second = latents.chunk(2)
        return torch.cat([first + step, second - step])

    found = Regional(velocity, weights)(noise, 3)
    assert torch.allclose(found[..., :2], noise[..., :2] + 3)
    assert torch.allclose(found[..., 2:], noise[..., 2:] - 3)
