import pytest
import torch

from engine.sampling.guidance import Guidance


def _pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    positive, negative = torch.randn(2, 3, 16, 4, 6, generator=generator)
    return positive, negative


def test_scale_zero_is_off_and_returns_the_positive_prediction() -> None:
    positive, negative = _pair()
    assert not Guidance(scale=0).active(0.5)
    assert torch.equal(Guidance(scale=0).combine(positive, negative), positive)


def test_the_scale_counts_from_zero() -> None:
    positive, negative = _pair()
    expected = positive + 4 * (positive - negative)
    assert torch.allclose(Guidance(scale=4).combine(positive, negative), expected)


def test_normalization_caps_the_norm_of_each_picture_alone() -> None:
    positive, negative = _pair()
    negative[0] = positive[0]
    guided = Guidance(scale=4, normalization=1.0).combine(positive, negative)
    norms = guided.flatten(1).norm(dim=1)
    assert torch.allclose(norms, positive.flatten(1).norm(dim=1), rtol=1e-5)
    assert torch.allclose(guided[0], positive[0])


def test_a_norm_below_the_cap_is_left_alone() -> None:
    positive, negative = _pair()
    free = Guidance(scale=0.1).combine(positive, negative)
    capped = Guidance(scale=0.1, normalization=10).combine(positive, negative)
    assert torch.equal(free, capped)


@pytest.mark.parametrize(
    ("sigma", "active"), [(1.0, True), (0.5, True), (0.4, True), (0.39, False), (0.0, False)]
)
def test_truncation_stops_guidance_strictly_beyond_its_time(sigma: float, active: bool) -> None:
    assert Guidance(scale=4, truncation=0.6).active(sigma) is active


def test_the_default_truncation_never_stops() -> None:
    assert Guidance(scale=4).active(0.0)
