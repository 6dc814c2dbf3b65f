"""Numbers of the Demo family: sizes of the three networks and of the training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.demo.optim import Rates
from engine.model.config import TransformerConfig, VaeConfig, VisionConfig

SIZES = ((128, 128), (160, 96), (96, 160), (144, 112), (112, 144))
"""Trained picture sizes (width, height); each gives at most 64 image tokens."""

SIZE_SHARES = (0.5, 0.125, 0.125, 0.125, 0.125)

TRANSFORMER = TransformerConfig(
    dim=192, n_layers=5, n_refiner_layers=1, n_heads=6, cap_feat_dim=128, axes_dims=(8, 12, 12)
)

VISION = VisionConfig(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_patches=32,
)
"""What it says of a picture fills no more than 32 tokens."""

OMNI = replace(TRANSFORMER, siglip_feat_dim=VISION.hidden_size)

VAE = VaeConfig(
    block_out_channels=(16, 32, 64, 64),
    layers_per_block=1,
    norm_num_groups=4,
    scaling_factor=1.0,
    shift_factor=0.0,
)
"""Scale and shift are measured after training, so that latents have unit variance."""

TEXT_ENCODER: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 256,
    "vocab_size": 512,
    "tie_word_embeddings": True,
    "max_position_embeddings": 1024,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-6,
}

SHIFT = 3.0
"""Shift of the noise schedule written into the Demo models' scheduler."""

TURBO_STEPS = 8
TURBO_GUIDANCE = 3.0
"""The guidance scale that demo-turbo learns to reproduce without a second evaluation."""

VAE_RATES = Rates(matrices=2e-3, others=2e-3, decay_from=0.5)
FLOW_RATES = Rates(matrices=2e-3, others=2e-3, decay_from=0.6)
TURBO_RATES = Rates(matrices=7e-4, others=7e-4, decay_from=0.4)
OMNI_RATES = Rates(matrices=1.5e-3, others=1.5e-3, decay_from=0.5, warmup_steps=100)
