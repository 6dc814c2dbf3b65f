"""float16 computes what float32 does, also where plain float16 overflows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.checkpoints.load import load_text_encoder, load_transformer
from engine.checkpoints.open import open_model
from engine.model.config import TransformerConfig
from engine.model.layers import Attention
from engine.model.rope import caption_positions, rotation
from engine.model.transformer import Transformer
from engine.quant.half import HalfLinear, make_half
from engine.quant.recipe import Form

CPU = torch.device("cpu")


def half_of(weight: torch.Tensor) -> HalfLinear:
    layer = HalfLinear(weight.shape[1], weight.shape[0], bias=False)
    layer.fill(weight.half())
    return layer


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e4, 1e15])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 300.0])
def test_a_product_is_right_at_every_size(size, spread):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 64, generator=generator) * spread
    x = torch.randn(5, 64, generator=generator) * size
    x[1] *= 1e-6
    found = half_of(weight)(x)
    expected = (x.double() @ weight.half().double().t()).float()
    errors = (found - expected).norm(dim=1) / expected.norm(dim=1)
    assert errors.max() < 2e-3


def test_a_token_of_zeros_stays_zero():
    assert not half_of(torch.randn(8, 8))(torch.zeros(2, 8)).any()


def test_the_worst_token_reaches_no_overflow():
    weight = torch.full((8, 4096), 100.0)
    found = half_of(weight)(torch.full((1, 4096), 1000.0))
    torch.testing.assert_close(found, torch.full((1, 8), 4096 * 1e5), rtol=1e-3, atol=0)


def test_only_linear_layers_become_half():
    network = nn.Sequential(nn.Linear(2, 2), nn.SiLU())
    make_half(network, ["0"])
    assert isinstance(network[0], HalfLinear)
    assert network[0].bias is not None
    with pytest.raises(TypeError, match="SiLU"):
        make_half(network, ["1"])


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [None, (3, 5)])
def test_attention_in_half_mixes_values_of_any_size(lengths):
    config = TransformerConfig(dim=64, n_heads=2, axes_dims=(8, 12, 12))
    attention = Attention(config)
    attention.qkv.weight[128:] *= 1e6
    angles = rotation(caption_positions(8).unsqueeze(0), config.axes_dims, config.rope_theta)
    x = torch.randn(1, 8, 64, generator=torch.Generator().manual_seed(0))
    right = attention(x, angles, lengths)
    attention.in_half = True
    found = attention(x, angles, lengths)
    assert 0 < (found - right).norm() / right.norm() < 2e-3


@torch.inference_mode()
def test_a_model_that_overflows_float16_gives_finite_latents_near_float32(reference_folder):
    checkpoint = open_model(reference_folder)
    exact = load_transformer(checkpoint, torch.float32, CPU)
    safe = load_transformer(checkpoint, torch.float32, CPU, form=Form.HALF)
    plain = load_transformer(checkpoint, torch.float16, CPU)
    assert sum(isinstance(module, HalfLinear) for module in safe.modules()) == (3 + 2 + 2) * 4
    for network in (exact, safe, plain):
        enlarge(network)
    right, found, overflown = (output(network) for network in (exact, safe, plain))
    assert not overflown.isfinite().all()
    assert found.isfinite().all()
    assert (found - right).norm() / right.norm() <= 5e-3


def enlarge(transformer: Transformer) -> None:
    """Make values and the products before gates so large that float16 ends."""
    for block in (*transformer.noise_refiner, *transformer.context_refiner, *transformer.layers):
        for layer in (block.attention.qkv, block.feed_forward.w13):
            layer.weight *= 300
            if isinstance(layer, HalfLinear):
                layer.fill(layer.weight.data)


def output(transformer: Transformer) -> torch.Tensor:
    dtype = transformer.x_embedder.weight.dtype
    features = torch.randn(1, 7, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    latents = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    context = transformer.arrange([transformer.refine_caption(features)[0]], 8, 8)
    found = transformer(latents, transformer.modulate(torch.tensor([0.3])), context)
    return found.float()


@torch.inference_mode()
def test_the_text_encoder_is_half_too(reference_folder):
    checkpoint = open_model(reference_folder)
    exact = load_text_encoder(checkpoint, torch.float32, CPU)
    safe = load_text_encoder(checkpoint, torch.float32, CPU, form=Form.HALF)
    assert sum(isinstance(module, HalfLinear) for module in safe.modules()) == 2 * 7
    tokens = torch.arange(9).unsqueeze(0)
    right, found = exact(tokens), safe(tokens)
    assert found.dtype is torch.float32
    assert 0 < (found - right).norm() / right.norm() < 5e-3


@pytest.mark.parametrize("load", [load_transformer, load_text_encoder])
def test_no_memory_is_taken_for_what_is_yet_to_be_filled(reference_folder, load, monkeypatch):
    made = []
    init = HalfLinear.__init__

    def watched(self, *arguments, **options):
        init(self, *arguments, **options)
        made.append(self.weight.device.type)

    monkeypatch.setattr(HalfLinear, "__init__", watched)
    load(open_model(reference_folder), torch.float32, CPU, form=Form.HALF)
    assert set(made) == {"meta"}
