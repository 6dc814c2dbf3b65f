import pytest
import torch

from engine.sampling.schedules import model_times, schedule, shifted


def test_the_turbo_schedule_has_the_published_numbers() -> None:
    expected = [1, 0.9545, 0.9, 0.8333, 0.75, 0.6429, 0.5, 0.3, 0]
    assert schedule(8, 3.0).tolist() == pytest.approx(expected, abs=5e-5)


def test_the_base_schedule_has_the_published_numbers() -> None:
    sigmas = schedule(30, 6.0).tolist()
    assert sigmas[:5] == pytest.approx([1, 0.9943, 0.9882, 0.9818, 0.975], abs=5e-5)
    assert sigmas[-5:] == pytest.approx([0.48, 0.4, 0.3, 0.1714, 0], abs=5e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 200])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 10.0])
def test_a_schedule_falls_from_one_to_exactly_zero(steps: int, shift: float) -> None:
    sigmas = schedule(steps, shift)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_shift_one_changes_nothing() -> None:
    sigmas = torch.linspace(0, 1, 11)
    assert torch.equal(shifted(sigmas, 1.0), sigmas)


def test_the_network_is_told_the_time_from_noise_to_picture():
    times = model_times(torch.tensor([1.0, 0.9, 0.25, 0.0]))
    assert torch.allclose(times, torch.tensor([0.0, 0.1, 0.75, 1.0]), atol=1e-6)
    assert times[[0, -1]].tolist() == [0.0, 1.0]
