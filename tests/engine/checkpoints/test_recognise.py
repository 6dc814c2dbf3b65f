"""Strangers are called by their names, and never taken for a part of Z-Image."""

from __future__ import annotations

import pytest

from engine.checkpoints.header import read_header
from engine.checkpoints.info import describe
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected
from tests.engine.checkpoints.forge import whole_file

STRANGERS = {
    "SDXL": [
        ["model.diffusion_model.input_blocks.0.0.weight",
         "model.diffusion_model.label_emb.0.0.weight",
         "first_stage_model.encoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight",
         "first_stage_model.decoder.conv_out.weight", "conditioner.embedders.0.transformer.x"],
        ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight",
         "add_embedding.linear_1.weight"],
    ],
    "Stable Diffusion model": [
        ["model.diffusion_model.input_blocks.0.0.weight",
         "first_stage_model.encoder.conv_in.weight"],
        ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"],
    ],
    "Stable Diffusion 3": [
        ["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"],
        ["transformer_blocks.0.attn.add_q_proj.weight", "pos_embed.proj.weight"],
    ],
    "FLUX model": [
        ["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"],
        ["model.diffusion_model.double_blocks.0.img_attn.qkv.weight",
         "model.diffusion_model.single_blocks.0.linear1.weight"],
        ["single_transformer_blocks.0.attn.to_q.weight", "transformer_blocks.0.attn.to_q.weight"],
    ],
    "FLUX.2": [["double_stream_modulation_img.lin.weight", "double_blocks.0.img_attn.qkv.weight",
                "single_blocks.0.linear1.weight"]],
    "Chroma": [["distilled_guidance_layer.in_proj.weight", "double_blocks.0.img_attn.qkv.weight",
                "single_blocks.0.linear1.weight"]],
    "HunyuanVideo": [["txt_in.individual_token_refiner.blocks.0.norm1.weight",
                      "double_blocks.0.img_mlp.fc1.weight", "single_blocks.0.linear1.weight"]],
    "Qwen-Image": [["transformer_blocks.0.img_mlp.net.0.proj.weight",
                    "transformer_blocks.0.txt_mlp.net.0.proj.weight"]],
    "Wan": [
        ["blocks.0.self_attn.q.weight", "blocks.0.cross_attn.k.weight", "patch_embedding.weight"],
        ["blocks.0.attn1.to_q.weight", "blocks.0.attn2.to_q.weight",
         "condition_embedder.text_embedder.linear_1.weight"],
        ["encoder.conv1.weight", "decoder.middle.0.residual.0.gamma",
         "decoder.upsamples.0.residual.0.gamma"],
    ],
    "LTX": [["patchify_proj.weight", "transformer_blocks.0.attn1.to_q.weight"]],
    "PixArt": [["adaln_single.linear.weight", "caption_projection.linear_1.weight"]],
    "AuraFlow": [["double_layers.0.attn.w1q.weight", "single_layers.0.attn.w1q.weight"]],
    "HiDream": [["double_stream_blocks.0.block.attn1.to_q.weight"]],
    "Lumina 2": [["noise_refiner.0.attention.qkv.weight", "context_refiner.0.attention.qkv.weight",
                  "cap_embedder.1.weight", "layers.0.adaLN_modulation.1.weight"]],
    "ControlNet": [["control_layers.0.attention.to_q.weight",
                    "control_all_x_embedder.2-1.weight"]],
    "LoRA": [
        ["diffusion_model.layers.0.attention.to_q.lora_A.weight",
         "diffusion_model.layers.0.attention.to_q.lora_B.weight"],
        ["lora_unet_layers_0_attention_to_q.lora_down.weight"],
    ],
    "LoKr": [["lycoris_layers_0_attention_to_q.lokr_w1"]],
    "T5": [["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"]],
    "CLIP": [["text_model.encoder.layers.0.self_attn.q_proj.weight",
              "text_model.embeddings.token_embedding.weight"]],
    "vision encoder": [["vision_model.encoder.layers.0.self_attn.q_proj.weight"]],
    "vision language": [["model.layers.0.self_attn.q_proj.weight",
                         "visual.blocks.0.attn.qkv.weight"]],
    "not Qwen3": [["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                   "model.layers.0.mlp.gate_proj.weight"]],
    "autoencoder of Stable Diffusion": [["encoder.conv_in.weight", "decoder.conv_in.weight",
                                         "decoder.conv_out.weight", "quant_conv.weight"]],
    "something unknown": [["weight", "bias"], []],
}  # fmt: skip
CASES = [(what, names) for what, files in STRANGERS.items() for names in files]


@pytest.mark.parametrize(("what", "names"), CASES, ids=lambda value: str(value)[:30])
def test_a_stranger_is_called_by_its_name(what, names, tmp_path):
    path = tmp_path / "z_image_turbo_bf16.safetensors"
    path.write_bytes(whole_file({name: [1] for name in names}))
    with pytest.raises(FileRejected) as caught:
        describe(path)
    assert what in caught.value.message
    assert "not a part of Z-Image" in caught.value.message


def test_parts_of_z_image_are_recognised_in_every_dialect(reference_folder):
    roles = {"transformer": Role.TRANSFORMER, "vae": Role.VAE, "text_encoder": Role.TEXT_ENCODER}
    for part, role in roles.items():
        (file,) = (reference_folder / part).glob("*.safetensors")
        names = list(read_header(file).tensors)
        for prefix in ("", "model.diffusion_model.", "first_stage_model."):
            assert recognise(prefix + name for name in names).role is role


def test_a_fused_transformer_is_recognised():
    names = ("noise_refiner.0.attention.qkv.weight", "context_refiner.0.attention.qkv.weight",
             "cap_pad_token", "cap_embedder.1.weight", "x_embedder.weight")  # fmt: skip
    assert recognise(names).role is Role.TRANSFORMER
