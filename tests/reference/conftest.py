"""The reference implementation with random weights, saved by itself, and how far we are from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from engine.demo.tokenizer import build_tokenizer

VAE_WIDTHS = (8, 16, 32, 32)


def relative(ours: Tensor, theirs: Tensor) -> float:
    """The relative distance of two tensors: |ours - theirs| / |theirs|."""
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


@pytest.fixture
def measured(record_property, request):
    """Compare two tensors; the figure is noted, and shown by `pytest -rP`."""

    def measure(ours: Tensor, theirs: Tensor, limit: float) -> None:
        assert ours.shape == theirs.shape
        off = relative(ours, theirs)
        record_property("relative L2", off)
        sys.stdout.write(f"{request.node.name}: relative L2 {off:.1e} (limit {limit:.0e})\n")
        assert off <= limit

    return measure


def fill(module: torch.nn.Module, spread: float) -> None:
    """Give every weight a random value, norms around one."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=spread)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=VAE_WIDTHS,
        layers_per_block=2,
        latent_channels=16,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    ).eval()


def piped(
    transformer: ZImageTransformer2DModel, encoder: Qwen3Model, vae: AutoencoderKL, folder: Path
) -> ZImagePipeline:
    """Put the reference's networks together, with a tokenizer that is written to `folder`."""
    build_tokenizer(folder)
    made = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=encoder.eval(),
        tokenizer=Qwen2Tokenizer.from_pretrained(str(folder)),
        transformer=transformer.eval(),
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> ZImagePipeline:
    """A random model of the reference's own classes."""
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, n_kv_heads=2, cap_feat_dim=48,
        axes_dims=[8, 12, 12], axes_lens=[1536, 512, 512],
    )  # fmt: skip
    config = Qwen3Config(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=12, intermediate_size=96, vocab_size=512, rope_theta=1e6,
    )  # fmt: skip
    vae, encoder = make_vae(), Qwen3Model(config)
    for module in (transformer, vae, encoder):
        fill(module, 0.15)
    return piped(transformer, encoder, vae, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def reference_folder(pipeline, tmp_path_factory) -> Path:
    """The reference's model in float32, as the reference saves it; tests only read it."""
    folder = tmp_path_factory.mktemp("reference")
    pipeline.save_pretrained(str(folder))
    return folder
