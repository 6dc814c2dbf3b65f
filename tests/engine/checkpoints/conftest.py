"""Tiny random models, saved once by the reference libraries and once by us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from engine.checkpoints.export import Networks, save_folder
from engine.model.config import TransformerConfig, VaeConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TRANSFORMER = {
    "dim": 64, "n_layers": 3, "n_refiner_layers": 2, "n_heads": 2, "cap_feat_dim": 48,
    "axes_dims": (8, 12, 12),
}  # fmt: skip
TEXT_ENCODER = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 96, "vocab_size": 300,
    "rope_theta": 500_000.0,
}  # fmt: skip
VAE_WIDTHS = (8, 16, 32, 32)


def make_tokenizer() -> Tokenizer:
    """A byte-level tokenizer without merges, in the form of Qwen2's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated", invert=False)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "pad_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "chat_template": "{{ messages[0].content }}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def randomise(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2)


@pytest.fixture(scope="session")
def pipeline(tokenizer_folder) -> ZImagePipeline:
    """A random model made of the reference classes."""
    torch.manual_seed(1)
    transformer = ZImageTransformer2DModel(
        n_kv_heads=2, axes_lens=[1536, 512, 512], **{**TRANSFORMER, "axes_dims": [8, 12, 12]}
    )
    vae = AutoencoderKL(
        block_out_channels=VAE_WIDTHS,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        scaling_factor=0.7,
        shift_factor=0.1,
    )
    encoder = Qwen3Model(Qwen3Config(**TEXT_ENCODER))
    for module in (transformer, vae, encoder):
        randomise(module)
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=Qwen2Tokenizer.from_pretrained(str(tokenizer_folder)),
        transformer=transformer.eval(),
    )


@pytest.fixture(scope="session")
def reference_folder(pipeline, tmp_path_factory) -> Path:
    """The reference's model as the reference saves it; tests only read it."""
    folder = tmp_path_factory.mktemp("reference")
    pipeline.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def networks(tokenizer_folder) -> Networks:
    """A random model made of our classes."""
    torch.manual_seed(2)
    transformer = Transformer(TransformerConfig(**TRANSFORMER))
    vae = Vae(VaeConfig(block_out_channels=VAE_WIDTHS, layers_per_block=1, norm_num_groups=4))
    encoder = TextEncoder(TEXT_ENCODER)
    for module in (transformer, vae, encoder):
        randomise(module)
    return Networks(
        transformer=transformer,
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer_folder,
        shift=3.0,
        variant="demo-turbo",
    )


@pytest.fixture(scope="session")
def our_folder(networks, tmp_path_factory) -> Path:
    """Our model as we save it; tests only read it."""
    folder = tmp_path_factory.mktemp("ours")
    save_folder(folder, networks)
    return folder
