from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.model import vae_attention, vae_strips
from engine.model.config import VaeConfig
from engine.model.vae import Vae, to_picture_range
from engine.model.vae_footprint import decode_footprint
from engine.model.vae_layers import NormActConv
from engine.model.vae_strips import WHOLE, Strips
from tests.engine.fake_memory import DEVICE, fake

CONFIG = VaeConfig(block_out_channels=(8, 16, 16, 16), layers_per_block=1, norm_num_groups=4)


@pytest.fixture
def vae() -> Vae:
    torch.manual_seed(0)
    return Vae(CONFIG).eval().requires_grad_(requires_grad=False)


CUTS = [Strips(rows, on_host=on_host) for rows in (None, 1, 7, 16) for on_host in (False, True)]
EXACT = 1e-5


@pytest.fixture(params=["plain", "channels last"])
def order(request, monkeypatch) -> None:
    """Let maps lie as on the processor, and as on a graphics card."""
    if request.param == "channels last":
        monkeypatch.setattr(vae_strips, "layout", lambda weight: torch.channels_last)


@torch.inference_mode()
@pytest.mark.parametrize("strips", CUTS, ids=lambda s: f"{s.rows}{' on host' * s.on_host}")
def test_a_decode_in_strips_shows_no_seam(strips: Strips, vae: Vae, order: None) -> None:
    latents = torch.randn(2, 16, 6, 5)
    kept = latents.clone()
    found = vae.decode(latents, strips)
    assert (found - true_decode(vae, latents)).abs().max() < EXACT
    assert torch.equal(latents, kept)


@torch.inference_mode()
@pytest.mark.parametrize("strips", CUTS, ids=lambda s: f"{s.rows}{' on host' * s.on_host}")
def test_an_encode_in_strips_shows_no_seam(strips: Strips, vae: Vae, order: None) -> None:
    pictures = torch.rand(2, 3, 48, 40) * 2 - 1
    kept, whole = pictures.clone(), vae.encode(pictures)
    assert whole.std() > 0.05
    assert (vae.encode(pictures, strips) - whole).abs().max() < EXACT
    assert torch.equal(pictures, kept)


@torch.inference_mode()
def test_with_maps_on_the_host_a_picture_is_the_same_to_a_rounded_byte(vae: Vae) -> None:
    latents = torch.randn(1, 16, 9, 7)
    plain = to_picture_range(vae.decode(latents)).int()
    paged = to_picture_range(vae.decode(latents, Strips(16, on_host=True))).int()
    assert plain.float().std() > 5
    assert (plain - paged).abs().max() <= 1


@torch.inference_mode()
def test_in_bfloat16_no_cut_is_further_from_the_truth_than_the_whole(vae: Vae) -> None:
    latents = torch.randn(1, 16, 9, 7)
    exact = true_decode(vae, latents)
    half = vae.to(torch.bfloat16)
    errors = [
        (half.decode(latents.to(torch.bfloat16), strips).double() - exact).norm() / exact.norm()
        for strips in (WHOLE, Strips(16), Strips(16, on_host=True))
    ]
    assert max(errors) < 1.2 * errors[0] < 0.1


def test_a_decoder_that_learns_gets_its_gradients(vae: Vae) -> None:
    vae.requires_grad_(requires_grad=True)
    vae.decode(vae.encode(torch.rand(1, 3, 16, 16))).square().mean().backward()
    assert all(weight.grad is not None for weight in vae.parameters())


def test_strips_are_not_for_learning(vae: Vae) -> None:
    vae.requires_grad_(requires_grad=True)
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        vae.decode(torch.randn(1, 16, 4, 4), Strips(8))


def test_statistics_of_maps_far_from_zero_are_those_of_the_whole() -> None:
    norm = torch.nn.GroupNorm(4, 8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    maps = torch.randn(2, 8, 24, 20) + 100
    scale, shift = vae_strips.norm_terms(norm, maps, Strips(5))
    exact = norm.double()(maps.double())
    assert scale.dtype == torch.float32
    assert (maps * scale + shift - exact).abs().max() < 2e-4


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


@pytest.mark.parametrize("on_host", [False, True])
def test_every_strip_gives_a_chance_to_cancel(vae: Vae, *, on_host: bool) -> None:
    class Stop(Exception):
        pass

    strips = 0

    def on_strip() -> None:
        nonlocal strips
        strips += 1
        if strips == 5:
            raise Stop

    with pytest.raises(Stop):
        vae.decode(torch.randn(1, 16, 6, 6), Strips(8, on_strip, on_host=on_host))
    assert strips == 5


@pytest.mark.parametrize("strips", [Strips(8), Strips(8, on_host=True)])
def test_a_cut_map_never_goes_long_without_a_chance_to_cancel(vae: Vae, strips: Strips) -> None:
    calls = []
    asked = replace(strips, on_strip=lambda: calls.append(1))
    vae.decode(torch.randn(1, 16, 12, 2), asked)
    rows = sum(sum(side) for side in ([12] * 5, [12, 12, 24], [24] * 4 + [48], [48] * 4 + [96]))
    assert len(calls) >= rows // 8


@torch.inference_mode()
@pytest.mark.parametrize("cells", [1, 37, 64])
def test_attention_in_parts_is_attention(cells: int, monkeypatch) -> None:
    monkeypatch.setattr(vae_attention, "PAGE", 16)
    monkeypatch.setattr(vae_attention, "SCORE_BYTES", 4 * 2 * cells * 8)
    q, k, v = (2 * torch.randn(2, cells, 8) for _ in range(3))
    exact = (q.double() @ k.double().mT / 8**0.5).softmax(-1) @ v.double()
    calls = []
    sdpa = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *each: calls.append(1) or sdpa(*each)
    )
    limit = EXACT * exact.abs().max()
    assert (vae_attention.attend(q, k, v) - exact).abs().max() < limit
    assert len(calls) == -(-cells // 8)
    assert (vae_attention.attend_in_pages(q, k, v) - exact).abs().max() < limit


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


def true_decode(vae: Vae, latents: torch.Tensor) -> torch.Tensor:
    """Decode in one piece and in float64, with group norm as PyTorch has it."""
    exact = Vae(CONFIG).double().eval().requires_grad_(requires_grad=False)
    exact.load_state_dict(vae.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae_strips, "layout", lambda weight: torch.contiguous_format)
        picture = exact.decode(latents.double())
    assert picture.std() > 0.05
    return picture


def test_channels_lie_last_only_on_cuda_and_only_in_16_bit() -> None:
    with fake():
        for device, dtype, order in (
            ("cpu", torch.bfloat16, torch.contiguous_format),
            (DEVICE, torch.float32, torch.contiguous_format),
            (DEVICE, torch.float16, torch.channels_last),
            (DEVICE, torch.bfloat16, torch.channels_last),
        ):
            weight = torch.empty(4, 4, 3, 3, dtype=dtype, device=device)
            assert vae_strips.layout(weight) is order


@pytest.mark.gpu
@torch.inference_mode()
@pytest.mark.parametrize("strips", CUTS, ids=lambda s: f"{s.rows}{' on host' * s.on_host}")
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-3), (torch.bfloat16, 5e-2)])
def test_a_card_decodes_and_encodes_what_the_processor_does(vae, strips, dtype, limit) -> None:
    latents, pictures = torch.randn(1, 16, 6, 5), torch.rand(1, 3, 48, 40) * 2 - 1
    exact = vae.decode(latents), vae.encode(pictures)
    there = vae.to("cuda", dtype)
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = (
            there.decode(latents.to("cuda", dtype), strips),
            there.encode(pictures.to("cuda", dtype), strips),
        )
    for one, right in zip(found, exact, strict=True):
        assert one.is_cuda is not strips.on_host
        assert (one.cpu().float() - right).norm() / right.norm() < limit


@pytest.mark.gpu
@torch.inference_mode()
def test_a_megapixel_stays_within_its_footprint_on_a_card() -> None:
    config = VaeConfig()
    full = Vae(config).to("cuda", torch.bfloat16).eval().requires_grad_(requires_grad=False)
    latents = torch.randn(1, 16, 128, 128, device="cuda", dtype=torch.bfloat16)
    for strips in (Strips(64), Strips(64, on_host=True)):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        full.decode(latents, strips)
        taken = torch.cuda.max_memory_allocated() - before
        said = decode_footprint(config, 1024, 1024, 2, strips.rows, strips.on_host)
        # Beyond the maps there is what cuDNN works in.
        assert taken <= said + 256 * 2**20
