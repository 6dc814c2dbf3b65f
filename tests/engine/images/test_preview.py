"""Previews show about what the decoder would, small and never failing."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from engine.images.open import open_picture
from engine.images.preview import Preview, fit_projection, projection_of

TRUTH = torch.linspace(-0.2, 0.25, 17 * 3).view(17, 3).sin() * 0.2


def _colours(latents: torch.Tensor) -> torch.Tensor:
    """What a linear decoder paints: [N, 16, h, w] -> [N, 3, h, w]."""
    return torch.einsum("nchw,cr->nrhw", latents, TRUTH[:-1]) + TRUTH[-1].view(3, 1, 1)


def _decode(latents: torch.Tensor) -> torch.Tensor:
    return F.interpolate(_colours(latents), scale_factor=8)


def test_a_linear_decoder_is_recovered_exactly():
    latents = torch.randn(4, 16, 6, 5)
    torch.testing.assert_close(fit_projection(latents, _decode(latents)), TRUTH, atol=1e-4, rtol=0)


def test_the_projection_of_a_linear_decoder_is_recovered_from_the_decoder_alone():
    sizes = []

    def decode(latents):
        sizes.append(tuple(latents.shape))
        return _decode(latents)

    torch.testing.assert_close(projection_of(decode, 0), TRUTH, atol=1e-4, rtol=0)
    assert sizes == [(8, 16, 8, 8)] * 8


def test_the_projection_depends_on_the_seed_alone():
    def decode(latents):
        return _decode(latents).tanh()

    before = torch.get_rng_state()
    first = projection_of(decode, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(projection_of(decode, 3), first)
    assert not torch.equal(projection_of(decode, 4), first)


def test_broken_pixels_are_left_out_of_the_fit():
    latents = torch.randn(4, 16, 6, 5)
    pictures = _decode(latents)
    pictures[0] = math.nan
    pictures[1, :, :8] = math.inf
    torch.testing.assert_close(fit_projection(latents, pictures), TRUTH, atol=1e-4, rtol=0)


def test_a_decoder_that_paints_nothing_finite_gives_a_gray_preview():
    projection = projection_of(lambda latents: _decode(latents) * math.nan, 0)
    assert torch.equal(projection, torch.zeros(17, 3))


@pytest.mark.parametrize(
    ("cells", "size"),
    [
        ((16, 16), (128, 128)),
        ((12, 20), (160, 96)),
        ((128, 128), (384, 384)),
        ((128, 64), (192, 384)),
        ((1024, 8), (3, 384)),
        ((1, 1), (8, 8)),
    ],
)
def test_a_preview_has_the_shape_of_the_picture_and_384_pixels_at_most(cells, size):
    assert open_picture(Preview(TRUTH).jpeg(torch.randn(16, *cells))).size == size


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_preview_has_the_colours_of_the_projection(dtype):
    latents = F.interpolate(torch.randn(1, 16, 2, 2), size=(16, 16), mode="bilinear")
    shown = open_picture(Preview(TRUTH).jpeg(latents[0].to(dtype)))
    expected = (F.interpolate(_colours(latents), scale_factor=8, mode="bilinear")[0] + 1) * 127.5
    pixels = torch.frombuffer(bytearray(shown.tobytes()), dtype=torch.uint8).view(128, 128, 3)
    error = (pixels.permute(2, 0, 1).float() - expected).abs()
    assert error.mean() < 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38])
def test_broken_latents_still_give_a_preview(value):
    assert open_picture(Preview(TRUTH).jpeg(torch.full((16, 4, 4), value))).size == (32, 32)


def test_latents_without_a_number_show_gray():
    shown = open_picture(Preview(TRUTH).jpeg(torch.full((16, 4, 4), math.nan)))
    assert set(shown.tobytes()) == {128}


def test_colours_beyond_the_range_are_cut_off():
    projection = torch.zeros(17, 3)
    projection[0] = torch.tensor([1.0, -1.0, 0.0])
    shown = open_picture(Preview(projection).jpeg(torch.full((16, 2, 2), 2.5)))
    red, green, blue = shown.getpixel((8, 8))
    assert red > 250
    assert green < 5
    assert 120 < blue < 136


def test_a_projection_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="17, 3"):
        Preview(torch.zeros(16, 3))
