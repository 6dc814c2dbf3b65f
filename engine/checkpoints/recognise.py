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
    VISION = "vision encoder"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: what to call it, its role, and which pieces of names it has and lacks.

    A name is seen between two line breaks, so that a piece can demand its beginning or end.
    """

    what: str
    role: Role
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def recognise(names: Iterable[str]) -> Kind:
    """Return the first kind in `KINDS` that the names of a file's weights fit."""
    text = "\n" + "\n".join(names) + "\n"
    for kind in KINDS:
        if all(piece in text for piece in kind.has) and not any(p in text for p in kind.lacks):
            return kind
    return UNKNOWN


def _strangers(what: str, *pieces: str) -> tuple[Kind, ...]:
    """Make one kind of each text, whose words are the pieces that names of it have."""
    return tuple(
        Kind(what, Role.STRANGER, tuple(piece.replace("^", "\n") for piece in words.split()))
        for words in pieces
    )


UNKNOWN: Final = Kind("something unknown", Role.STRANGER, ())

ADAPTERS: Final = (
    *_strangers("a LoRA", ".lora_A.", ".lora_B.", ".lora_down.", ".lora_up.", ".lora.down."),
    *_strangers("a LoRA", "_lora.down.", ".lora_linear_layer."),
    *_strangers("a LoKr adapter", ".lokr_w"),
    *_strangers("a LoHa adapter", ".hada_w"),
    *_strangers("an OFT adapter", ".oft_blocks", ".oft_diag", ".oft_R."),
    *_strangers("an adapter of weight differences", ".diff^", ".diff_b^"),
    *_strangers("a textual inversion", "^emb_params^", "^clip_g^", "^clip_l^", "string_to_param."),
    *_strangers("a Z-Image ControlNet", "control_all_x_embedder."),
    *_strangers(
        "a ControlNet", "controlnet_cond_embedding.", "controlnet_blocks.", "control_model.",
        "controlnet_down_blocks.", "controlnet_x_embedder.", "input_hint_block.", "lora_controlnet",
        "base_to_ctrl.",
    ),
    *_strangers("an IP-Adapter", ".to_k_ip.", "^image_proj.", "ip_adapter.", "pulid_ca."),
    *_strangers("a T2I-Adapter", "adapter.body.", "^body.0.resnets.", "^body.0.block1."),
    *_strangers("an AnimateDiff motion module", "motion_modules."),
)  # fmt: skip
"""What changes another model; it may hold pieces of that model's names."""

OURS: Final = (
    Kind(
        "the transformer of Z-Image",
        Role.TRANSFORMER,
        (
            "noise_refiner.0.attention.", "context_refiner.0.attention.", "cap_pad_token",
            "cap_embedder.1.", "layers.0.adaLN_modulation.0.",
        ),
        ("input_blocks.", "double_blocks.", "ref_image_refiner."),
    ),
    Kind(
        "a Qwen3 text encoder",
        Role.TEXT_ENCODER,
        (
            "embed_tokens.", ".self_attn.q_norm.", ".mlp.gate_proj.", ".input_layernorm.",
            ".post_attention_layernorm.",
        ),
        (
            "pre_feedforward_layernorm.", "post_feedforward_layernorm.", "linear_attn.",
            ".mlp.experts.", "visual.", "vision_",
        ),
    ),
    Kind(
        "a Qwen3 text encoder",
        Role.TEXT_ENCODER,
        ("token_embd.", ".attn_q_norm.", ".ffn_norm.", ".ffn_gate."),
        (".post_attention_norm.", ".post_ffw_norm."),
    ),
    *(
        Kind(
            "an autoencoder of the FLUX type",
            Role.VAE,
            ("encoder.conv_in.weight", "decoder.conv_out.weight", *pieces),
            ("quant_conv.", "bn.running_mean"),
        )
        for pieces in (
            ("encoder.mid_block.attentions.0.group_norm.", "decoder.up_blocks.3.resnets.0.conv1."),
            ("encoder.mid.attn_1.norm.", "encoder.mid.attn_1.q.", "decoder.up.3.block.0.conv1."),
        )
    ),
    Kind(
        "a SigLIP vision encoder",
        Role.VISION,
        (
            "embeddings.patch_embedding.weight", "embeddings.patch_embedding.bias",
            "embeddings.position_embedding.weight", "encoder.layers.0.self_attn.q_proj.",
            "encoder.layers.0.mlp.fc1.", "post_layernorm.",
        ),
        (
            "text_model.", "class_embedding", "pre_layrnorm.", "vision_tower.", "projector.",
            "visual_",
        ),
    ),
)  # fmt: skip
"""The parts of Z-Image, in every dialect; all pieces are needed, so that no relative passes."""

PAINTERS: Final = (
    *_strangers("an OmniGen2 model", "ref_image_refiner."),
    *_strangers(
        "a Bria FIBO model", "perceiver.latent_queries", "caption_projection.0. time_embed."
    ),
    *_strangers("a Lumina 2 transformer", "noise_refiner. cap_embedder."),
    *_strangers("a Lumina 2 transformer", "noise_refiner. time_caption_embed."),
    *_strangers(
        "a Lumina-Next model", "time_caption_embed.", "layers.0.attention.wq. cap_embedder."
    ),
    *_strangers("a Chroma model", "distilled_guidance_layer."),
    *_strangers(
        "a HunyuanImage model", "byt5_in. guidance_in.", "context_embedder_2. time_guidance_embed."
    ),
    *_strangers(
        "a HunyuanVideo model",
        "txt_in.individual_token_refiner.",
        "context_embedder.token_refiner.",
    ),
    *_strangers("a FLUX.2 model", "double_stream_modulation_img."),
    *_strangers("a FLUX.3 model", "early_stream_modulations."),
    *_strangers("a FLUX model", "double_blocks. single_blocks."),
    *_strangers("an AuraFlow model", "double_layers. single_layers.", "joint_transformer_blocks."),
    *_strangers("an Ovis-Image model", "context_embedder_norm. single_transformer_blocks."),
    *_strangers("a FLUX model", "single_transformer_blocks. ^transformer_blocks. time_text_embed."),
    *_strangers("a FLUX model or a relative", "single_transformer_blocks. transformer_blocks."),
    *_strangers(
        "a Qwen-Image model", "transformer_blocks. .txt_mlp.", "txt_in.text_norm. .img_mlp."
    ),
    *_strangers("a Mochi model", "t5_yproj.", "time_embed.pooler."),
    *_strangers("a HiDream model", "double_stream_blocks."),
    *_strangers(
        "a Stable Diffusion 3 model", "joint_blocks.", "transformer_blocks. .attn.add_q_proj."
    ),
    *_strangers(
        "a Cosmos model", "adaln_modulation_self_attn.", "blocks.block0.", "time_embed.t_embedder."
    ),
    *_strangers("a Wan model", "blocks.0.self_attn. blocks.0.cross_attn."),
    *_strangers("a Wan model", "condition_embedder. blocks.0.attn2."),
    *_strangers(
        "a Kandinsky model", "visual_transformer_blocks.", "prd_embedding", "add_time_condition."
    ),
    *_strangers("a Kandinsky model", "add_embedding.image_norm.", "encoder_hid_proj.image_embeds."),
    *_strangers("a CogView model", "patch_embed.text_proj. time_condition_embed."),
    *_strangers("a CogVideoX model", "patch_embed.text_proj."),
    *_strangers("a Sana model", "caption_norm. caption_projection.", "attention_y_norm."),
    *_strangers(
        "an LTX-Video model", "patchify_proj.", "caption_projection. time_embed.emb. ^proj_in."
    ),
    *_strangers("a Hunyuan-DiT model", "mlp_t5.", "text_embedding_padding"),
    *_strangers(
        "a PixArt model", "adaln_single. caption_projection.", "t_block.1. y_embedder.y_proj."
    ),
    *_strangers("an OmniGen model", "time_token. input_x_proj", "time_token. patch_embedding."),
    *_strangers("an OmniGen model", "time_token. llm.layers."),
    *_strangers(
        "a Stable Cascade model", "clip_txt_pooled_mapper.", "clip_txt_mapper.", "clip_mapper."
    ),
    *_strangers("a Krea model", "text_fusion.layerwise_blocks."),
    *_strangers("a GLM-Image model", "glyph_projector."),
    *_strangers("an audio model", "lyric_", "proj_in_conv. condition_embedder.", "pretransform."),
    *_strangers("an audio model", "preprocess_conv. postprocess_conv.", "encoder.conv1.weight_g"),
    *_strangers("a Stable Video Diffusion model", "time_stack.", "temporal_res_block."),
    *_strangers("a video model of the Stable Diffusion type", ".temp_convs."),
    *_strangers("an SDXL model", "input_blocks. label_emb.", "add_embedding.linear_1."),
    *_strangers("a Stable Diffusion model", "input_blocks."),
    *_strangers("a Stable Diffusion model", "down_blocks.0.attentions.0.transformer_blocks."),
    *_strangers("an upscaler", ".RDB1.", ".rdb1.", "residual_group.", "swin2sr.", "^conv_first."),
    *_strangers("an upscaler", "^body.0.weight ^body.1.weight", "block_1.c1_r."),
    *_strangers("a segmentation model", "mask_decoder."),
)
"""Models that paint, and those that work on pictures; several hold encoders too."""

ENCODERS: Final = (
    *_strangers("a T5 text encoder", "block.0.layer.0.SelfAttention.", "enc.blk.0."),
    *_strangers("a T5 text encoder", "blocks.0.pos_embedding. token_embedding."),
    *_strangers(
        "a vision language model", "visual.blocks.", "vision_tower.", "multi_modal_projector."
    ),
    *_strangers("the vision part of a language model", "^v.blk.0."),
    *_strangers("a speech model", ".encoder_attn."),
    *_strangers("a vision encoder", "vision_model.encoder.layers.", "embeddings.patch_embedding"),
    *_strangers("a CLIP text encoder", "text_model.encoder.layers.", "transformer.resblocks.0."),
    *_strangers("a CLIP text encoder", "embeddings.token_embedding. encoder.layers.0."),
    *_strangers("a BERT text encoder", "embeddings.word_embeddings."),
    *_strangers("a Gemma language model", "pre_feedforward_layernorm.", "blk.0.post_ffw_norm."),
    *_strangers(
        "a language model of experts", ".mlp.experts.", "block_sparse_moe.", ".ffn_gate_exps."
    ),
    *_strangers(
        "a Qwen2 language model", "self_attn.q_proj.bias mlp.gate_proj.", "blk.0.attn_q.bias"
    ),
    *_strangers("a language model that is not Qwen3", "self_attn.q_proj.", "self_attn.qkv_proj."),
    *_strangers("a language model that is not Qwen3", "^token_embd.", "blk.0.attn_norm."),
)

AUTOENCODERS: Final = (
    *_strangers("the autoencoder of FLUX.2", "bn.running_mean encoder.conv_in."),
    *_strangers("the autoencoder of Wan or Qwen-Image", "decoder.middle. decoder.upsamples."),
    *_strangers("the autoencoder of Wan or Qwen-Image", "mid_block.attentions.0.to_qkv."),
    *_strangers(
        "the autoencoder of a video model", "per_channel_statistics.", "encoder.conv_in.conv"
    ),
    *_strangers(
        "the autoencoder of a video model", "decoder.temporal_", "encoder.block_in.resnets."
    ),
    *_strangers(
        "the autoencoder of a video model", "encoder.temporal_", "down.0.downsample.spatial_conv."
    ),
    *_strangers("the autoencoder of Sana", "encoder.down_blocks.0.0.conv", "encoder.project_in."),
    *_strangers("a small autoencoder for previews", "decoder.layers.2.conv.0.", "taesd_decoder."),
    *_strangers("the autoencoder of Stable Diffusion", "encoder.conv_in. quant_conv."),
    *_strangers("an autoencoder of another family", "encoder.conv_in. decoder.conv_in."),
)

KINDS: Final = (*ADAPTERS, *OURS, *PAINTERS, *ENCODERS, *AUTOENCODERS)
"""Kinds of files; the more telling ones stand first."""
