"""Strangers are called by their names, and never taken for a part of Z-Image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.checkpoints.header import read_header
from engine.checkpoints.info import describe
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected
from tests.engine.checkpoints import true_size
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
    "a Qwen2 language model": [["model.embed_tokens.weight", "model.layers.0.mlp.gate_proj.weight",
                                "model.layers.0.self_attn.q_proj.weight",
                                "model.layers.0.self_attn.q_proj.bias"]],
    "SDXL model": [["model.diffusion_model.input_blocks.0.0.weight",
                    "model.diffusion_model.label_emb.0.0.weight",
                    "conditioner.embedders.0.model.transformer.resblocks.0.ln_1.weight"]],
    "a Lumina 2": [["model.diffusion_model.noise_refiner.0.attention.qkv.weight",
                    "model.diffusion_model.context_refiner.0.attention.qkv.weight",
                    "model.diffusion_model.cap_embedder.1.weight",
                    "model.diffusion_model.x_embedder.weight",
                    "model.diffusion_model.layers.0.adaLN_modulation.1.weight",
                    "text_encoders.gemma2_2b.transformer.model.layers.0.self_attn.q_proj.weight",
                    "vae.decoder.conv_in.weight", "vae.encoder.conv_in.weight"]],
    "OmniGen2": [["ref_image_refiner.0.attn.to_q.weight", "noise_refiner.0.attn.to_q.weight",
                  "time_caption_embed.caption_embedder.1.weight", "layers.0.attn.to_q.weight"]],
    "Cosmos": [
        ["net.blocks.0.self_attn.q_proj.weight", "net.blocks.0.cross_attn.q_proj.weight",
         "net.blocks.0.adaln_modulation_self_attn.1.weight", "net.x_embedder.proj.1.weight"],
        ["net.blocks.block0.blocks.0.block.attn.to_q.0.weight"],
    ],
    "Sana": [["blocks.0.mlp.inverted_conv.conv.weight", "attention_y_norm.weight",
              "t_block.1.weight", "y_embedder.y_proj.fc1.weight"]],
    "a PixArt model": [["t_block.1.weight", "y_embedder.y_proj.fc1.weight",
                        "blocks.0.cross_attn.kv_linear.weight", "blocks.0.attn.qkv.weight"]],
    "Mochi": [["t5_yproj.weight", "blocks.0.attn.qkv_x.weight"]],
    "HunyuanImage": [["byt5_in.fc1.weight", "guidance_in.in_layer.weight",
                      "txt_in.individual_token_refiner.blocks.0.norm1.weight",
                      "double_blocks.0.img_mlp.0.weight", "single_blocks.0.linear1.weight"]],
    "Hunyuan-DiT": [["mlp_t5.0.weight", "blocks.0.attn1.Wqkv.weight"]],
    "Stable Video Diffusion": [["model.diffusion_model.input_blocks.1.1.time_stack.0.ff.x",
                                "model.diffusion_model.label_emb.0.0.weight"]],
    "Stable Cascade": [["clip_txt_mapper.weight", "down_blocks.0.0.channelwise.0.weight"]],
    "audio": [["pretransform.model.decoder.layers.0.weight_g", "model.model.to_embed.0.bias"],
              ["lyric_encoder.embed.weight", "transformer_blocks.0.attn.to_q.weight"]],
    "upscaler": [
        ["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"],
        ["conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"],
        ["conv_first.weight", "layers.0.residual_group.blocks.0.attn.qkv.weight"],
        ["body.0.weight", "body.1.weight", "body.2.weight"],
    ],
    "IP-Adapter": [
        ["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"],
        ["image_proj.latents", "double_blocks.0.processor.ip_adapter_k_proj.weight"],
        ["pulid_ca.0.to_q.weight", "pulid_encoder.latents"],
    ],
    "a ControlNet": [
        ["control_model.input_blocks.0.0.weight", "control_model.input_hint_block.0.weight"],
        ["controlnet_x_embedder.weight", "controlnet_blocks.0.weight", "transformer_blocks.0.x"],
    ],
    "a T2I-Adapter": [["adapter.body.0.in_conv.weight"]],
    "textual inversion": [["emb_params"], ["clip_g", "clip_l"], ["string_to_param.*"]],
    "LoHa": [["lora_unet_layers_0_attention_to_q.hada_w1_a"]],
    "OFT": [["lora_unet_layers_0_attention_to_q.oft_blocks"]],
    "weight differences": [["diffusion_model.layers.0.attention_norm1.diff"]],
    "T5 text encoder": [
        ["enc.blk.0.attn_q.weight", "token_embd.weight", "enc.output_norm.weight"],
        ["token_embedding.weight", "blocks.0.attn.q.weight", "blocks.0.pos_embedding.x"],
    ],
    "CLIP text encoder": [["transformer.resblocks.0.attn.in_proj_weight"]],
    "Gemma": [["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q_norm.weight",
               "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight", "blk.0.post_attention_norm.weight",
               "blk.0.post_ffw_norm.weight"]],
    "of experts": [["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q_norm.weight",
                    "blk.0.ffn_norm.weight", "blk.0.ffn_gate_exps.weight"]],
    "a Qwen2 language": [["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.bias",
                          "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight"]],
    "that is not Qwen3": [["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight",
                           "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight"]],
    "vision part of a language model": [["v.blk.0.attn_q.weight", "v.patch_embd.weight"]],
    "preview": [["taesd_decoder.1.weight", "taesd_encoder.0.weight"]],
    "something unknown": [["weight", "bias"], []],
}  # fmt: skip
REFERENCES = json.loads(Path(__file__).with_name("strangers.json").read_text())
"""Names of the reference libraries' own networks, the first layer of each kind of block.

What it is called, then a network each: its modules by the path in front of them. Words that begin
with `=` are whole names of weights; all others stand for the module's `weight`.
"""


def unfolded(network: dict[str, str]) -> list[str]:
    return [
        f"{path}.{leaf}".lstrip(".")
        for path, words in network.items()
        for leaf in (w[1:] if w.startswith("=") else f"{w}.weight" for w in words.split(" "))
    ]


CASES = [(what, names) for what, files in STRANGERS.items() for names in files]
CASES += [(what, unfolded(net)) for what, nets in REFERENCES.items() for net in nets]


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


def test_the_strangers_are_many_and_all_different():
    assert len({frozenset(names) for _, names in CASES}) > 130


def test_half_a_transformer_is_not_taken_for_one(reference_folder):
    (file,) = (reference_folder / "transformer").glob("*.safetensors")
    names = list(read_header(file).tensors)
    pieces = ("noise_refiner.", "context_refiner.", "cap_pad_token", "cap_embedder.", "adaLN_")
    for piece in pieces:
        left = [name for name in names if piece not in name]
        assert recognise(left).role is Role.STRANGER


@pytest.mark.parametrize("more", ["quant_conv.weight", "post_quant_conv.weight", "bn.running_mean"])
@pytest.mark.parametrize("naming", [true_size.behind, lambda _, s: true_size.original_vae(s)])
def test_an_autoencoder_with_one_layer_more_is_another_one(naming, more):
    names = [*naming("", true_size.vae())]
    assert recognise(names).role is Role.VAE
    assert recognise([*names, more]).role is Role.STRANGER


@pytest.mark.parametrize(
    "more",
    [
        "model.layers.0.pre_feedforward_layernorm.weight",
        "model.layers.0.post_feedforward_layernorm.weight",
        "model.layers.1.linear_attn.in_proj_qkv.weight",
        "model.layers.1.mlp.experts.0.gate_proj.weight",
        "model.visual.blocks.0.attn.qkv.weight",
        "vision_model.encoder.layers.0.layer_norm1.weight",
    ],
)
def test_a_qwen3_with_one_layer_more_is_another_model(more):
    names = [*true_size.text_encoder()]
    assert recognise(names).role is Role.TEXT_ENCODER
    assert recognise([*names, more]).role is Role.STRANGER


@pytest.mark.parametrize("more", ["blk.0.post_attention_norm.weight", "blk.0.post_ffw_norm.weight"])
def test_a_qwen3_of_llama_with_one_layer_more_is_another_model(more):
    names = [*true_size.llama(true_size.text_encoder())]
    assert recognise(names).role is Role.TEXT_ENCODER
    assert recognise([*names, more]).role is Role.STRANGER
