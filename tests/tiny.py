"""A model so small that a job of 64 x 64 pixels takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

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
TRANSFORMER = TransformerConfig(
    dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, cap_feat_dim=32, axes_dims=(8, 12, 12)
)
VAE = VaeConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4)
TEXT_ENCODER = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64, "vocab_size": 300,
}  # fmt: skip


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of single bytes in the form of Qwen2's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated", invert=False)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))


def save_tiny_model(folder: Path, *, seed: int = 1, shift: float = 3.0) -> None:
    """Write a model folder with random weights; a shift of 5 or more makes it a Base model."""
    save_tokenizer(folder / "tiny-tokenizer")
    torch.manual_seed(seed)
    networks = Networks(
        transformer=Transformer(TRANSFORMER),
        vae=Vae(VAE),
        text_encoder=TextEncoder(TEXT_ENCODER),
        tokenizer=folder / "tiny-tokenizer",
        shift=shift,
        variant="",
    )
    for network in (networks.transformer, networks.vae, networks.text_encoder):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    save_folder(folder, networks)
