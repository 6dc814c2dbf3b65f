import pytest
import torch

from engine.model.config import VaeConfig
from engine.model.vae import Vae, to_picture_range
from engine.model.vae_layers import NormActConv
from engine.model.vae_strips import WHOLE, Strips

CONFIG = VaeConfig(block_out_channels=(8, 16, 16, 16), layers_per_block=1, norm_num_groups=4)


@pytest.fixture
def vae() -> Vae:
    torch.manual_seed(0)
    return Vae(CONFIG).eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("rows", [1, 7, 16, 24])
def test_a_decode_in_strips_shows_no_seam(vae: Vae, rows: int) -> None:
    latents = torch.randn(1, 16, 6, 5)
    whole = vae.decode(latents)
    assert whole.std() > 0.05
    assert (vae.decode(latents, Strips(rows)) - whole).abs().max() < 1e-5


def test_strips_of_bfloat16_maps_far_from_zero_stay_as_exact_as_the_whole() -> None:
    torch.manual_seed(0)
    stage = NormActConv(torch.nn.GroupNorm(4, 8), torch.nn.Conv2d(8, 8, 3, padding=1))
    stage.requires_grad_(requires_grad=False)
    maps = torch.randn(1, 8, 24, 24) + 10
    exact = stage(maps)
    half = stage.to(torch.bfloat16)
    errors = [
        (half(maps.to(torch.bfloat16), strips).float() - exact).norm() / exact.norm()
        for strips in (WHOLE, Strips(8))
    ]
    assert errors[1] < 1.3 * errors[0]


def test_every_strip_gives_a_chance_to_cancel(vae: Vae) -> None:
    class Stop(Exception):
        pass

    strips = 0

    def on_strip() -> None:
        nonlocal strips
        strips += 1
        if strips == 5:
            raise Stop

    with pytest.raises(Stop):
        vae.decode(torch.randn(1, 16, 6, 6), Strips(8, on_strip))
    assert strips == 5


def test_latents_have_an_eighth_of_the_size(vae: Vae) -> None:
    assert vae.encode(torch.zeros(2, 3, 32, 48)).shape == (2, 16, 4, 6)
    assert vae.decode(torch.zeros(2, 16, 4, 6)).shape == (2, 3, 32, 48)


def test_scale_and_shift_are_undone_by_decoding(vae: Vae) -> None:
    plain = Vae(VaeConfig(**{**CONFIG_FIELDS, "scaling_factor": 1.0, "shift_factor": 0.0}))
    plain.load_state_dict(vae.state_dict())
    pictures = torch.rand(1, 3, 32, 32) * 2 - 1
    latents = plain.encode(pictures)
    assert torch.allclose(vae.encode(pictures), (latents - 0.1159) * 0.3611, atol=1e-6)
    assert torch.allclose(vae.decode((latents - 0.1159) * 0.3611), plain.decode(latents), atol=1e-4)


def test_pictures_are_rounded_and_clipped_to_bytes() -> None:
    decoded = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).expand(1, 3, 1, 5)
    assert to_picture_range(decoded)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


CONFIG_FIELDS = {
    "block_out_channels": CONFIG.block_out_channels,
    "layers_per_block": CONFIG.layers_per_block,
    "norm_num_groups": CONFIG.norm_num_groups,
}
