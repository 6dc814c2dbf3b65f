"""Writes our networks as a model folder in the diffusers layout, in float16."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor, nn

from engine.checkpoints.assemble import split
from engine.checkpoints.identity import VARIANT_KEY
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    VISION_DIALECTS,
    Dialect,
    text_encoder_dialect,
)
from engine.checkpoints.layout import (
    PATCHES_FILE,
    PIPELINE_FILE,
    SCHEDULER_FILE,
    TRANSFORMER_CLASS,
)
from engine.model.config import TransformerConfig, VaeConfig, VisionConfig
from engine.model.shapes import UNUSED_LAYERS
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.model.vision_encoder import VisionEncoder
from engine.storage import atomic_write, make_folder, read_bounded

FILE_MODE: Final = 0o644
TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")

_MAX_TOKENIZER_BYTES: Final = 64_000_000
_DIFFUSERS: Final = "0.36.0"
"""First release that has every class named in the folder."""

_PIPELINE: Final = {
    "_class_name": "ZImagePipeline",
    "_diffusers_version": _DIFFUSERS,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3Model"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", TRANSFORMER_CLASS],
    "vae": ["diffusers", "AutoencoderKL"],
}


_OMNI_PIPELINE: Final = {
    **_PIPELINE,
    "_class_name": "ZImageOmniPipeline",
    "siglip": ["transformers", "Siglip2VisionModel"],
    "siglip_processor": ["transformers", "Siglip2ImageProcessorFast"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What a model folder is made of.

    tokenizer: folder of a Qwen2 tokenizer. shift: of the noise schedule. variant: name of the model
    variant, noted in the transformer's file. vision: of a transformer that reads pictures.
    """

    transformer: Transformer
    vae: Vae
    text_encoder: TextEncoder
    tokenizer: Path
    shift: float
    variant: str
    vision: VisionEncoder | None = None


def save_folder(path: Path, networks: Networks) -> None:
    """Write a model folder that `open_model` and diffusers' pipelines read.

    Weights are stored in float16, in files that everyone may read. Files of the same name are
    replaced, each at once. Raises `DiskError`.
    """
    encoder = networks.text_encoder
    layers = int(encoder.model.config.num_hidden_layers) + UNUSED_LAYERS
    text_weights = _stored(encoder, text_encoder_dialect(layers))
    text_weights |= _silent_layer(text_weights, layers)
    weights = {
        "transformer/diffusion_pytorch_model.safetensors": save(
            _stored(networks.transformer, TRANSFORMER_DIALECTS[0]),
            {"format": "pt", VARIANT_KEY: networks.variant},
        ),
        "vae/diffusion_pytorch_model.safetensors": save(
            _stored(networks.vae, VAE_DIALECTS[0]), {"format": "pt"}
        ),
        "text_encoder/model.safetensors": save(text_weights, {"format": "pt"}),
    }
    configs = {
        PIPELINE_FILE: _PIPELINE,
        SCHEDULER_FILE: _scheduler(networks.shift),
        "transformer/config.json": _transformer(networks.transformer.config),
        "vae/config.json": _vae(networks.vae.config),
        "text_encoder/config.json": _text_encoder(encoder, layers),
    }
    if networks.vision is not None:
        stored = _stored(networks.vision, VISION_DIALECTS[0])
        weights["siglip/model.safetensors"] = save(stored, {"format": "pt"})
        configs |= _vision(networks.vision.config) | {PIPELINE_FILE: _OMNI_PIPELINE}
    for name, content in (*weights.items(), *_encoded(configs), *_copied(networks.tokenizer)):
        file = path / name
        make_folder(file.parent)
        atomic_write(file, content)
        file.chmod(FILE_MODE)


def _stored(network: nn.Module, dialect: Dialect) -> dict[str, Tensor]:
    """Return a network's weights in float16 under a file's names, in order of name."""
    found: dict[str, Tensor] = {}
    for name, weight in network.state_dict().items():
        for theirs, part in split(name, weight, dialect).items():
            found[theirs] = part.to(torch.float16).contiguous().cpu()
    return dict(sorted(found.items()))


def _silent_layer(weights: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Return a last layer that changes nothing, and the final norm.

    Nothing reads them, but the stock architecture has them.
    """
    before, last = f"layers.{layers - 2}.", f"layers.{layers - 1}."
    layer = {
        last + name.removeprefix(before): torch.zeros_like(weight)
        for name, weight in weights.items()
        if name.startswith(before)
    }
    width = weights["embed_tokens.weight"].shape[1]
    return layer | {"norm.weight": torch.ones(width, dtype=torch.float16)}


def _transformer(config: TransformerConfig) -> dict[str, Any]:
    sight = config.siglip_feat_dim
    return {
        **({} if sight is None else {"siglip_feat_dim": sight}),
        "_class_name": TRANSFORMER_CLASS,
        "_diffusers_version": _DIFFUSERS,
        "all_f_patch_size": [1],
        "all_patch_size": [config.patch_size],
        "axes_dims": list(config.axes_dims),
        "axes_lens": [1536, 512, 512],
        "cap_feat_dim": config.cap_feat_dim,
        "dim": config.dim,
        "in_channels": config.in_channels,
        "n_heads": config.n_heads,
        "n_kv_heads": config.n_heads,
        "n_layers": config.n_layers,
        "n_refiner_layers": config.n_refiner_layers,
        "norm_eps": config.norm_eps,
        "qk_norm": True,
        "rope_theta": config.rope_theta,
        "t_scale": config.t_scale,
    }


def _vae(config: VaeConfig) -> dict[str, Any]:
    stages = len(config.block_out_channels)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": _DIFFUSERS,
        "act_fn": "silu",
        "block_out_channels": list(config.block_out_channels),
        "down_block_types": ["DownEncoderBlock2D"] * stages,
        "force_upcast": True,
        "in_channels": 3,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.layers_per_block,
        "mid_block_add_attention": True,
        "norm_num_groups": config.norm_num_groups,
        "out_channels": 3,
        "sample_size": 1024,
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor,
        "up_block_types": ["UpDecoderBlock2D"] * stages,
        "use_post_quant_conv": False,
        "use_quant_conv": False,
    }


def _text_encoder(encoder: TextEncoder, layers: int) -> dict[str, Any]:
    config = encoder.model.config
    rope: Any = config.rope_parameters
    kept = (
        "attention_bias", "head_dim", "hidden_act", "hidden_size", "intermediate_size",
        "max_position_embeddings", "num_attention_heads", "num_key_value_heads",
        "rms_norm_eps", "vocab_size",
    )  # fmt: skip
    return {
        "architectures": ["Qwen3Model"],
        "dtype": "float16",
        "model_type": "qwen3",
        "num_hidden_layers": layers,
        "rope_theta": rope["rope_theta"],
        "tie_word_embeddings": True,
        **{name: getattr(config, name) for name in kept},
    }


def _vision(config: VisionConfig) -> dict[str, dict[str, Any]]:
    kept = (
        "hidden_size", "intermediate_size", "layer_norm_eps", "num_attention_heads",
        "num_hidden_layers", "num_patches", "patch_size",
    )  # fmt: skip
    return {
        "siglip/config.json": {
            "architectures": ["Siglip2VisionModel"],
            "dtype": "float16",
            "hidden_act": "gelu_pytorch_tanh",
            "model_type": "siglip2_vision_model",
            "num_channels": 3,
            "vision_use_head": False,
            **{name: getattr(config, name) for name in kept},
        },
        PATCHES_FILE: {
            "do_convert_rgb": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Siglip2ImageProcessorFast",
            "image_std": [0.5, 0.5, 0.5],
            "max_num_patches": config.max_patches,
            "patch_size": config.patch_size,
            "resample": 2,
        },
    }


def _scheduler(shift: float) -> dict[str, Any]:
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "_diffusers_version": _DIFFUSERS,
        "num_train_timesteps": 1000,
        "shift": shift,
        "use_dynamic_shifting": False,
    }


def _encoded(configs: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, values in configs.items():
        yield name, (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def _copied(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the tokenizer's files; only tokenizer.json must be there."""
    for name in TOKENIZER_FILES:
        if name == TOKENIZER_FILES[0] or (folder / name).is_file():
            yield f"tokenizer/{name}", read_bounded(folder / name, _MAX_TOKENIZER_BYTES)
