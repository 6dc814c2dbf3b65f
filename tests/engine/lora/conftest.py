"""A tiny model whose weights are known by the names of the reference library."""

from __future__ import annotations

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor

from engine.model.transformer import Transformer
from tests.engine.lora.models import CONFIG, transformer_of


@pytest.fixture(scope="session")
def base() -> dict[str, Tensor]:
    """The model's weights in float64, by diffusers' names; float32 holds each exactly."""
    torch.manual_seed(3)
    model = ZImageTransformer2DModel(
        dim=CONFIG.dim,
        n_layers=CONFIG.n_layers,
        n_refiner_layers=CONFIG.n_refiner_layers,
        n_heads=CONFIG.n_heads,
        n_kv_heads=CONFIG.n_heads,
        cap_feat_dim=CONFIG.cap_feat_dim,
        axes_dims=list(CONFIG.axes_dims),
        axes_lens=[1536, 512, 512],
    )
    return {
        name: torch.randn(weight.shape).mul(0.2).double()
        for name, weight in model.state_dict().items()
    }


@pytest.fixture
def transformer(base) -> Transformer:
    return transformer_of(base, torch.float32)
