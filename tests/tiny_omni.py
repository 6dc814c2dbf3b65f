"""A model that reads pictures, as small as the one in tests/tiny.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from engine.checkpoints.export import Networks, save_folder
from engine.model.config import VisionConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.model.vision_encoder import VisionEncoder
from tests.tiny import TEXT_ENCODER, TRANSFORMER, VAE, save_tokenizer

VISION = VisionConfig(
    hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
    patch_size=16, num_patches=16, max_patches=20,
)  # fmt: skip
READER = replace(TRANSFORMER, siglip_feat_dim=VISION.hidden_size)


def omni_networks(tokenizer: Path, *, seed: int = 1) -> Networks:
    """Return networks with random weights; a tokenizer is written to a new folder."""
    save_tokenizer(tokenizer)
    torch.manual_seed(seed)
    networks = Networks(
        transformer=Transformer(READER),
        vae=Vae(VAE),
        text_encoder=TextEncoder(TEXT_ENCODER),
        tokenizer=tokenizer,
        shift=3.0,
        variant="",
        vision=VisionEncoder(VISION),
    )
    for network in (networks.transformer, networks.vae, networks.text_encoder, networks.vision):
        assert network is not None
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return networks


def save_tiny_omni(folder: Path, *, seed: int = 1) -> None:
    """Write the folder of a tiny model that edits."""
    save_folder(folder, omni_networks(folder / "tiny-tokenizer", seed=seed))
