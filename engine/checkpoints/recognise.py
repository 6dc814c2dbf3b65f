"""Tells what a file holds from the names of its weights: parts of Z-Image, and common strangers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a file can be to a Z-Image model."""

    TRANSFORMER = "transformer"
    TEXT_ENCODER = "text encoder"
    VAE = "vae"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: what to call it, its role, and which pieces of names it has and lacks."""

    what: str
    role: Role
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def recognise(names: Iterable[str]) -> Kind:
    """Return the first kind in `KINDS` that the names of a file's weights fit."""
    text = "\n" + "\n".join(names)
    for kind in KINDS:
        if all(piece in text for piece in kind.has) and not any(p in text for p in kind.lacks):
            return kind
    return UNKNOWN


def _stranger(what: str, *has: str) -> Kind:
    return Kind(what, Role.STRANGER, has)


UNKNOWN: Final = Kind("something unknown", Role.STRANGER, ())

KINDS: Final = (
    _stranger("a LoRA", ".lora_A."),
    _stranger("a LoRA", ".lora_down."),
    _stranger("a LoRA", ".lora.down."),
    _stranger("a LoKr adapter", ".lokr_w"),
    _stranger("a LoHa adapter", ".hada_w"),
    _stranger("a Z-Image ControlNet", "control_all_x_embedder."),
    Kind(
        "the transformer of Z-Image",
        Role.TRANSFORMER,
        ("noise_refiner.", "context_refiner.", "cap_pad_token", "cap_embedder.1."),
        ("input_blocks.", "double_blocks."),
    ),
    _stranger("the transformer of Lumina 2", "noise_refiner.", "cap_embedder."),
    _stranger("a Chroma model", "distilled_guidance_layer."),
    _stranger("a HunyuanVideo model", "txt_in.individual_token_refiner."),
    _stranger("a FLUX.2 model", "double_stream_modulation_img."),
    _stranger("a FLUX model", "double_blocks.", "single_blocks."),
    _stranger("a FLUX model", "single_transformer_blocks.", "transformer_blocks."),
    _stranger("a Qwen-Image model", "transformer_blocks.", ".txt_mlp."),
    _stranger("a HiDream model", "double_stream_blocks."),
    _stranger("an AuraFlow model", "double_layers.", "single_layers."),
    _stranger("a Stable Diffusion 3 model", "joint_blocks."),
    _stranger("a Stable Diffusion 3 model", "transformer_blocks.", ".attn.add_q_proj."),
    _stranger("a Wan model", "blocks.0.self_attn.", "blocks.0.cross_attn."),
    _stranger("a Wan model", "condition_embedder.", "blocks.0.attn2."),
    _stranger("an LTX-Video model", "patchify_proj."),
    _stranger("a PixArt model", "adaln_single.", "caption_projection."),
    _stranger("an SDXL model", "input_blocks.", "label_emb."),
    _stranger("an SDXL model", "add_embedding.linear_1."),
    _stranger("a Stable Diffusion model", "input_blocks."),
    _stranger("a Stable Diffusion model", "down_blocks.0.attentions.0.transformer_blocks."),
    _stranger("a T5 text encoder", "block.0.layer.0.SelfAttention."),
    _stranger("a vision encoder", "vision_model.encoder.layers."),
    _stranger("a CLIP text encoder", "text_model.encoder.layers."),
    _stranger("a vision language model", "visual.blocks."),
    Kind(
        "a Qwen3 text encoder",
        Role.TEXT_ENCODER,
        ("embed_tokens.", "self_attn.q_norm.", "mlp.gate_proj."),
    ),
    _stranger("a language model that is not Qwen3", "self_attn.q_proj."),
    _stranger("the autoencoder of Wan", "decoder.middle.", "decoder.upsamples."),
    Kind(
        "an autoencoder of the FLUX type",
        Role.VAE,
        ("encoder.conv_in.", "decoder.conv_in.", "decoder.conv_out."),
        ("quant_conv.",),
    ),
    _stranger("the autoencoder of Stable Diffusion", "encoder.conv_in.", "quant_conv."),
)
"""Kinds of files; the more telling ones stand first."""
