"""Writes one tiny model in every layout that people's files have, from its diffusers folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.checkpoints.export import Networks, save_folder
from engine.model.config import TransformerConfig, VaeConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from tests.engine.checkpoints.test_folder import as_convolution, original_name

TRANSFORMER = TransformerConfig(
    dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, cap_feat_dim=32, axes_dims=(8, 12, 12)
)
VAE = VaeConfig(block_out_channels=(32, 32, 32, 32), layers_per_block=1)
TEXT_ENCODER = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64, "vocab_size": 300,
    "rope_theta": 1e6,
}  # fmt: skip
AIO_PREFIXES = ("model.diffusion_model.", "text_encoders.qwen3_4b.transformer.model.", "vae.")

Weights = dict[str, Tensor]


def save_public(folder: Path, tokenizer: Path) -> Path:
    """Write a diffusers folder whose numbers, where shapes do not tell, are the public model's."""
    torch.manual_seed(5)
    networks = Networks(
        transformer=Transformer(TRANSFORMER),
        vae=Vae(VAE),
        text_encoder=TextEncoder(TEXT_ENCODER),
        tokenizer=tokenizer,
        shift=3.0,
        variant="",
    )
    for network in (networks.transformer, networks.vae, networks.text_encoder):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    save_folder(folder, networks)
    return folder


def weights_of(folder: Path, part: str) -> Weights:
    (path,) = (folder / part).glob("*.safetensors")
    return load_file(path)


def fused(weights: Mapping[str, Tensor]) -> Weights:
    """Rename a transformer from diffusers' names to the original ones, and fuse q, k and v."""
    found: Weights = {"norm_final.weight": torch.ones(64, dtype=torch.float16)}
    for name, weight in weights.items():
        if name.endswith("attention.to_q.weight"):
            rows = [weights[name.replace("to_q", f"to_{x}")] for x in "qkv"]
            found[name.replace("to_q", "qkv")] = torch.cat(rows)
        elif not name.endswith(("to_k.weight", "to_v.weight")):
            found[original_transformer_name(name)] = weight
    return found


def original_transformer_name(name: str) -> str:
    name = name.replace("to_out.0", "out").replace("norm_q", "q_norm").replace("norm_k", "k_norm")
    name = name.replace("all_final_layer.2-1.", "final_layer.")
    return name.replace("all_x_embedder.2-1.", "x_embedder.")


def as_original_vae(weights: Mapping[str, Tensor]) -> Weights:
    return {original_name(name): as_convolution(name, w) for name, w in weights.items()}


def behind(prefix: str, weights: Mapping[str, Tensor]) -> Weights:
    return {prefix + name: weight.contiguous() for name, weight in weights.items()}


def side_parts(source: Path, folder: Path) -> None:
    """Copy everything but the transformer and its schedule."""
    for part in ("text_encoder", "vae", "tokenizer"):
        shutil.copytree(source / part, folder / part)


def as_folder(source: Path, folder: Path) -> Path:
    return Path(shutil.copytree(source, folder / "model"))


def as_float32_shards(source: Path, folder: Path) -> Path:
    model = as_folder(source, folder)
    weights = sorted(weights_of(model, "transformer").items())
    shutil.rmtree(model / "transformer")
    (model / "transformer").mkdir()
    table = {}
    for shard in range(3):
        name = f"diffusion_pytorch_model-{shard + 1:05}-of-00003.safetensors"
        mine = {n: w.float() for n, w in weights[shard::3]}
        save_file(mine, model / "transformer" / name)
        table |= dict.fromkeys(mine, name)
    index = model / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return model


def as_single_file(prefix: str, change: Callable[[Weights], Weights]) -> Callable:
    def write(source: Path, folder: Path) -> Path:
        side_parts(source, folder)
        path = folder / "model.safetensors"
        save_file(behind(prefix, change(weights_of(source, "transformer"))), path)
        return path

    return write


def as_shards_without_index(source: Path, folder: Path) -> Path:
    side_parts(source, folder)
    weights = sorted(weights_of(source, "transformer").items())
    for shard in range(2):
        path = folder / f"zimage-{shard + 1:05}-of-00002.safetensors"
        save_file(dict(weights[shard::2]), path)
    return path


def with_flat_pad_tokens(weights: Weights) -> Weights:
    pads = {name: weights[name].flatten() for name in ("x_pad_token", "cap_pad_token")}
    return fused(weights | pads)


def all_in_one_weights(source: Path) -> Weights:
    first, second, third = AIO_PREFIXES
    head = {f"{second.removesuffix('model.')}lm_head.weight": torch.ones(300, 32)}
    return {
        **behind(first, fused(weights_of(source, "transformer"))),
        **behind(second, weights_of(source, "text_encoder")),
        **behind(third, as_original_vae(weights_of(source, "vae"))),
        **head,
        "model_ema.decay": torch.ones(1),
        "text_encoders.other.spiece_model": torch.zeros(9, dtype=torch.uint8),
    }


def as_all_in_one(source: Path, folder: Path) -> Path:
    shutil.copy(source / "tokenizer/tokenizer.json", folder)
    save_file(all_in_one_weights(source), folder / "aio.safetensors")
    return folder / "aio.safetensors"


def as_loose_parts(source: Path, folder: Path) -> Path:
    """Lay the three files and the tokenizer in one folder, under names that say nothing."""
    model = folder / "downloads"
    model.mkdir()
    save_file(fused(weights_of(source, "transformer")), model / "one.safetensors")
    save_file(behind("model.", weights_of(source, "text_encoder")), model / "two.safetensors")
    save_file(as_original_vae(weights_of(source, "vae")), model / "three.safetensors")
    save_file({"blocks.0.self_attn.q.weight": torch.ones(1)}, model / "four.safetensors")
    (model / "five.safetensors").write_bytes(b"no model at all")
    shutil.copy(source / "tokenizer/tokenizer.json", model)
    return model


def as_loose_shards(source: Path, folder: Path) -> Path:
    """Lay loose parts in one folder, the transformer in two files."""
    model = as_loose_parts(source, folder)
    weights = sorted(load_file(model / "one.safetensors").items())
    for shard in range(2):
        save_file(dict(weights[shard::2]), model / f"one-{shard + 1:05}-of-00002.safetensors")
    (model / "one.safetensors").unlink()
    return model


def as_sorted_parts(source: Path, folder: Path) -> Path:
    """Lay the parts where ComfyUI keeps them."""
    for name in ("diffusion_models/z", "text_encoders", "vae", "clip", "tokenizer"):
        (folder / "models" / name).mkdir(parents=True)
    models = folder / "models"
    path = models / "diffusion_models/z/x.safetensors"
    save_file(fused(weights_of(source, "transformer")), path)
    save_file(weights_of(source, "text_encoder"), models / "text_encoders/qwen_3_4b.safetensors")
    save_file(as_original_vae(weights_of(source, "vae")), models / "vae/ae.safetensors")
    shutil.copy(source / "tokenizer/tokenizer.json", models / "text_encoders")
    return path


def as_folder_of_a_folder(source: Path, folder: Path) -> Path:
    return as_folder(source, folder) / "transformer"


def as_file_of_a_folder(source: Path, folder: Path) -> Path:
    return as_folder(source, folder) / "transformer/diffusion_pytorch_model.safetensors"


def unchanged(weights: Weights) -> Weights:
    return weights


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "diffusers folder": as_folder,
    "float32 shards": as_float32_shards,
    "a file of a diffusers folder": as_file_of_a_folder,
    "the transformer's own folder": as_folder_of_a_folder,
    "shards without index": as_shards_without_index,
    "diffusers names": as_single_file("", unchanged),
    "diffusers names, prefix": as_single_file("model.diffusion_model.", unchanged),
    "original names": as_single_file("", fused),
    "original names, prefix": as_single_file("model.diffusion_model.", fused),
    "original names, short prefix": as_single_file("diffusion_model.", fused),
    "original names, strange prefix": as_single_file("net.0.zimage.", fused),
    "flat padding tokens": as_single_file("", with_flat_pad_tokens),
    "all in one": as_all_in_one,
    "loose parts": as_loose_parts,
    "loose shards": as_loose_shards,
    "sorted parts": as_sorted_parts,
}
