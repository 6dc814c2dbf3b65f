import pytest
import torch
from torch import Tensor

from engine.sampling.twinflow import sampler, schedule, target_times

PUBLISHED = {
    1: [0.999, 0],
    2: [0.999, 0.6, 0],
    3: [0.999, 0.7495, 0.5, 0],
    4: [0.999, 0.8327, 0.6663, 0.5, 0],
    6: [0.999, 0.8325, 0.666, 0.4995, 0.333, 0.1665, 0],
}


def _keep(latents: Tensor, clean: Tensor, step: int) -> Tensor:
    return latents


def _draw(seed: int) -> Tensor:
    return torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("steps", "expected"), PUBLISHED.items())
def test_the_schedule_has_the_numbers_it_was_trained_at(steps: int, expected: list[float]) -> None:
    assert schedule(steps).tolist() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("steps", range(1, 13))
def test_a_schedule_falls_to_exactly_zero(steps: int) -> None:
    sigmas = schedule(steps)
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_few_steps_point_at_the_picture_more_at_the_next_step_and_many_at_themselves() -> None:
    assert target_times(schedule(2)).tolist() == [0, 0]
    found = target_times(schedule(4)).tolist()
    assert found == pytest.approx([1 - 0.8327, 1 - 0.6663, 0.5, 0], abs=5e-5)
    sigmas = schedule(6)
    assert torch.equal(target_times(sigmas), 1 - sigmas[:-1])


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_model_that_knows_the_picture_paints_it(steps: int) -> None:
    clean, sigmas = _draw(1), schedule(steps)
    found = sampler(lambda step: _draw(10 + step))(
        lambda x, step: (x - clean) / sigmas[step], _draw(2), sigmas, _keep
    )
    assert torch.allclose(found, clean, atol=1e-5)


def test_each_step_mixes_its_prediction_with_the_noise_it_is_given() -> None:
    sigmas, seen = schedule(3), []

    def after_step(latents: Tensor, clean: Tensor, step: int) -> Tensor:
        seen.append((latents, clean))
        return latents

    start = _draw(2)
    sampler(lambda step: _draw(10 + step))(lambda x, step: 0.5 * x, start, sigmas, after_step)
    clean = start - sigmas[0] * 0.5 * start
    mixed = (1 - sigmas[1]) * clean + sigmas[1] * _draw(10)
    assert torch.allclose(seen[0][1], clean)
    assert torch.allclose(seen[0][0], mixed)
    assert torch.allclose(seen[1][1], mixed - sigmas[1] * 0.5 * mixed)
    # The last prediction is the picture: nothing is mixed in.
    assert torch.equal(*seen[2])


def test_it_draws_no_random_number_and_asks_for_no_noise_at_the_end() -> None:
    asked: list[int] = []

    def noise(step: int) -> Tensor:
        asked.append(step)
        return torch.zeros(1, 16, 2, 2)

    before = torch.random.get_rng_state()
    sampler(noise)(lambda x, step: x, torch.zeros(1, 16, 2, 2), schedule(4), _keep)
    assert asked == [0, 1, 2]
    assert torch.equal(torch.random.get_rng_state(), before)
