"""The tables of weights say what the networks hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.model.config import TransformerConfig, VaeConfig, VisionConfig
from engine.model.shapes import text_encoder_shapes, transformer_shapes, vae_shapes, vision_shapes
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.model.vision_encoder import VisionEncoder

TEXT_ENCODER = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
    "head_dim": 16, "intermediate_size": 80, "vocab_size": 300, "rope_theta": 1e6,
}  # fmt: skip


def held(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in network.named_parameters()}


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(),
        TransformerConfig(siglip_feat_dim=1152),
        TransformerConfig(
            dim=64,
            n_layers=3,
            n_refiner_layers=1,
            n_heads=2,
            cap_feat_dim=48,
            axes_dims=(8, 12, 12),
        ),
    ],
)
def test_a_transformers_weights_are_known_without_building_it(config):
    with torch.device("meta"):
        assert transformer_shapes(config) == held(Transformer(config))


@pytest.mark.parametrize(
    "config",
    [
        VaeConfig(),
        VaeConfig(block_out_channels=(8, 16, 16, 32), layers_per_block=3, norm_num_groups=4),
    ],
)
def test_an_autoencoders_weights_are_known_without_building_it(config):
    with torch.device("meta"):
        assert vae_shapes(config) == held(Vae(config))


def test_a_text_encoders_weights_are_known_without_building_it():
    with torch.device("meta"):
        assert text_encoder_shapes(TEXT_ENCODER) == held(TextEncoder(TEXT_ENCODER))


@pytest.mark.parametrize("config", [VisionConfig(), VisionConfig(num_hidden_layers=2)])
def test_a_vision_encoders_weights_are_known_without_building_it(config):
    with torch.device("meta"):
        assert vision_shapes(config) == held(VisionEncoder(config))
