"""Names and shapes of the weights of the three networks, without building them.

What only looks at headers must not wait for torch; a test holds these tables to the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from engine.model.config import TransformerConfig, VaeConfig, VisionConfig

Shapes = dict[str, tuple[int, ...]]

_TIME_FREQUENCIES: Final = 256
_TIME_HIDDEN: Final = 1024
_PICTURE_CHANNELS: Final = 3
UNUSED_LAYERS: Final = 1
"""Features are the states before the last layer of Qwen3: that layer is never built or loaded."""


def transformer_shapes(config: TransformerConfig) -> Shapes:
    """Return the shape of every weight of `Transformer`, by name."""
    dim, adaln = config.dim, config.adaln_dim
    found: Shapes = {
        "x_pad_token": (1, dim),
        "cap_pad_token": (1, dim),
        "cap_embedder.0.weight": (config.cap_feat_dim,),
        **_layer("x_embedder", config.patch_dim, dim),
        **_layer("t_embedder.0", _TIME_FREQUENCIES, _TIME_HIDDEN),
        **_layer("t_embedder.2", _TIME_HIDDEN, adaln),
        **_layer("cap_embedder.1", config.cap_feat_dim, dim),
        **_layer("final_modulation", adaln, dim),
        **_layer("final_linear", dim, config.patch_dim),
    }
    for number in range(config.n_refiner_layers):
        found |= _block(f"noise_refiner.{number}", config, modulated=True)
        found |= _block(f"context_refiner.{number}", config, modulated=False)
    for number in range(config.n_layers):
        found |= _block(f"layers.{number}", config, modulated=True)
    return found | _sight(config)


def _sight(config: TransformerConfig) -> Shapes:
    """What takes the vision encoder's features, in an Omni model."""
    if config.siglip_feat_dim is None:
        return {}
    found: Shapes = {
        "siglip_pad_token": (1, config.dim),
        "siglip_embedder.0.weight": (config.siglip_feat_dim,),
        **_layer("siglip_embedder.1", config.siglip_feat_dim, config.dim),
    }
    for number in range(config.n_refiner_layers):
        found |= _block(f"siglip_refiner.{number}", config, modulated=False)
    return found


def vae_shapes(config: VaeConfig) -> Shapes:
    """Return the shape of every weight of `Vae`, by name."""
    widths, resnets, latent = (
        config.block_out_channels, config.layers_per_block, config.latent_channels
    )  # fmt: skip
    return {
        **_layer("encoder.conv_in", _PICTURE_CHANNELS, widths[0], 3),
        **_stages("encoder.stages", widths, resnets, "downsample"),
        **_mid("encoder.mid", widths[-1]),
        **_stage("encoder.out", widths[-1], 2 * latent),
        **_layer("decoder.conv_in", latent, widths[-1], 3),
        **_mid("decoder.mid", widths[-1]),
        **_stages("decoder.stages", widths[::-1], resnets + 1, "upsample"),
        **_stage("decoder.out", widths[0], _PICTURE_CHANNELS),
    }


def text_encoder_shapes(config: Mapping[str, Any]) -> Shapes:
    """Return the shape of every weight of `TextEncoder`, by name."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    found: Shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for number in range(config["num_hidden_layers"] - UNUSED_LAYERS):
        layer: Shapes = {
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
        }
        found |= {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
    return found


def vision_shapes(config: VisionConfig) -> Shapes:
    """Return the shape of every weight of `VisionEncoder`, by name."""
    width, inner = config.hidden_size, config.intermediate_size
    found: Shapes = {
        **_layer("embeddings.patch_embedding", _PICTURE_CHANNELS * config.patch_size**2, width),
        "embeddings.position_embedding.weight": (config.num_patches, width),
        **_norm("post_layernorm", width),
    }
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layers.{number}"
        for leaf in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= _layer(f"{layer}.self_attn.{leaf}", width, width)
        found |= _layer(f"{layer}.mlp.fc1", width, inner) | _layer(f"{layer}.mlp.fc2", inner, width)
        found |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
    return {f"model.{name}": shape for name, shape in found.items()}


def _layer(name: str, before: int, after: int, side: int = 0) -> Shapes:
    """Weight and bias of a linear layer, or of a convolution of `side` x `side`."""
    kernel = (side, side) if side else ()
    return {f"{name}.weight": (after, before, *kernel), f"{name}.bias": (after,)}


def _block(name: str, config: TransformerConfig, *, modulated: bool) -> Shapes:
    dim, ffn, head = config.dim, config.ffn_dim, config.head_dim
    weights: Shapes = {
        "attention.qkv": (3 * dim, dim),
        "attention.out": (dim, dim),
        "attention.q_norm": (head,),
        "attention.k_norm": (head,),
        "feed_forward.w13": (2 * ffn, dim),
        "feed_forward.w2": (dim, ffn),
        "attention_norm1": (dim,),
        "attention_norm2": (dim,),
        "ffn_norm1": (dim,),
        "ffn_norm2": (dim,),
    }
    modulation = _layer(f"{name}.modulation", config.adaln_dim, 4 * dim) if modulated else {}
    return {f"{name}.{leaf}.weight": shape for leaf, shape in weights.items()} | modulation


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def _stage(name: str, before: int, after: int) -> Shapes:
    return _norm(f"{name}.norm", before) | _layer(f"{name}.conv", before, after, 3)


def _resnet(name: str, before: int, after: int) -> Shapes:
    shortcut = _layer(f"{name}.shortcut", before, after, 1) if before != after else {}
    first, second = _stage(f"{name}.stage1", before, after), _stage(f"{name}.stage2", after, after)
    return first | second | shortcut


def _mid(name: str, width: int) -> Shapes:
    found = _resnet(f"{name}.resnet1", width, width) | _resnet(f"{name}.resnet2", width, width)
    for leaf in ("q", "k", "v", "out"):
        found |= _layer(f"{name}.attention.{leaf}", width, width)
    return found | _norm(f"{name}.attention.norm", width)


def _stages(name: str, widths: Sequence[int], resnets: int, sampler: str) -> Shapes:
    found: Shapes = {}
    for index, (before, after) in enumerate(pairwise((widths[0], *widths))):
        stage = f"{name}.{index}"
        for number in range(resnets):
            found |= _resnet(f"{stage}.resnets.{number}", after if number else before, after)
        if index < len(widths) - 1:
            found |= _layer(f"{stage}.{sampler}.conv", after, after, 3)
    return found
