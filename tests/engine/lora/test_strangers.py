"""Adapters for other models: each refused by name, and nothing of them applied."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import FileRejected
from engine.lora.apply import Adapter
from engine.lora.file import read_lora
from engine.lora.match import match, require
from tests.engine.checkpoints.forge import whole_file
from tests.engine.lora.models import CONFIG

KOHYA = ("lora_down", "lora_up")
PEFT = ("lora_A", "lora_B")

# What it is for, the names of its pairs, and one module a line: name, columns, rows.
STRANGERS = {
    "SD 1.5": (KOHYA, """
        lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q 320 320
        lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k 768 320
        lora_te_text_model_encoder_layers_0_mlp_fc1 768 3072"""),
    "SD 2": (KOHYA, """
        lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k 1024 1280"""),
    "SDXL": (KOHYA, """
        lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k 2048 640
        lora_unet_middle_block_1_transformer_blocks_0_ff_net_0_proj 1280 10240
        lora_te2_text_model_encoder_layers_0_self_attn_q_proj 1280 1280"""),
    "SDXL ": (PEFT, """
        unet.up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k 2048 1280
        unet.down_blocks.1.attentions.0.proj_in 640 640"""),
    "FLUX": (KOHYA, """
        lora_unet_double_blocks_0_img_attn_qkv 3072 9216
        lora_unet_single_blocks_0_linear2 15360 3072"""),
    "FLUX ": (PEFT, """
        transformer.transformer_blocks.0.attn.to_q 3072 3072
        transformer.single_transformer_blocks.0.attn.to_q 3072 3072"""),
    "Chroma": (PEFT, """
        diffusion_model.distilled_guidance_layer.layers.0.in_layer 5120 5120
        diffusion_model.double_blocks.0.img_attn.qkv 3072 9216"""),
    "Wan": (PEFT, """
        diffusion_model.blocks.0.self_attn.q 5120 5120
        diffusion_model.blocks.0.cross_attn.k 5120 5120
        diffusion_model.blocks.0.ffn.0 5120 13824"""),
    "Qwen-Image": (PEFT, """
        transformer.transformer_blocks.0.attn.add_q_proj 3072 3072
        transformer.transformer_blocks.0.img_mlp.net.0.proj 3072 12288"""),
    "Stable Diffusion 3": (KOHYA, """
        lora_unet_joint_blocks_0_context_block_attn_qkv 1536 4608"""),
    "Stable Diffusion 3 ": (PEFT, """
        transformer.transformer_blocks.0.attn.add_k_proj 1536 1536
        transformer.transformer_blocks.0.attn.to_q 1536 1536"""),
    "Lumina 2": (PEFT, """
        diffusion_model.layers.0.attention.qkv 2304 3840
        diffusion_model.layers.0.feed_forward.w1 2304 9216
        diffusion_model.layers.0.adaLN_modulation.1 1024 9216"""),
    "Lumina 2 ": (PEFT, """
        transformer.layers.0.attn.to_q 2304 2304
        transformer.layers.0.feed_forward.linear_1 2304 9216"""),
    "HunyuanVideo": (KOHYA, """
        lora_unet_double_blocks_0_img_attn_qkv 3072 9216
        lora_unet_txt_in_individual_token_refiner_blocks_0_self_attn_qkv 3072 9216"""),
    "HiDream": (PEFT, """
        diffusion_model.double_stream_blocks.0.block.attn1.to_q 2560 2560"""),
    "LTX-Video or PixArt": (PEFT, """
        diffusion_model.transformer_blocks.0.attn1.to_q 2048 2048
        diffusion_model.transformer_blocks.0.ff.net.0.proj 2048 8192"""),
    "AuraFlow": (PEFT, """
        transformer.joint_transformer_blocks.0.attn.to_q 3072 3072"""),
    "Cosmos": (PEFT, """
        diffusion_model.blocks.0.adaln_modulation_self_attn.1 2048 256
        diffusion_model.blocks.0.self_attn.q_proj 2048 2048"""),
    "a language model": (PEFT, """
        base_model.model.model.layers.0.self_attn.q_proj 2560 4096"""),
}  # fmt: skip


def stranger(name, folder, rank=2):
    roles, modules_ = STRANGERS[name]
    tensors = {}
    for line in modules_.strip().splitlines():
        module, columns, rows = line.split()
        tensors[f"{module}.{roles[0]}.weight"] = torch.zeros(rank, int(columns))
        tensors[f"{module}.{roles[1]}.weight"] = torch.zeros(int(rows), rank)
    path = folder / "stranger.safetensors"
    save_file(tensors, path)
    return read_lora(path)


@pytest.mark.parametrize("name", STRANGERS)
def test_an_adapter_for_another_model_is_refused_by_name(name, tmp_path):
    found = match(stranger(name, tmp_path), CONFIG)
    with pytest.raises(FileRejected, match=f"was made for {name.strip()}, not for Z-Image: 0 of"):
        Adapter(found, 1.0, partial=True)


def test_metadata_tell_what_names_do_not(tmp_path):
    tensors = {"odd.lora_A.weight": torch.zeros(2, 4), "odd.lora_B.weight": torch.zeros(4, 2)}
    path = tmp_path / "odd.safetensors"
    save_file(tensors, path, {"modelspec.architecture": "kandinsky-5/lora\n" + "x" * 500})
    with pytest.raises(FileRejected, match=r"was made for kandinsky-5/lora x{1,60}, not") as caught:
        require(match(read_lora(path), CONFIG))
    assert len(caught.value.message) < 200


def test_a_stranger_that_claims_nothing_is_refused_with_examples(tmp_path):
    tensors = {"odd.lora_A.weight": torch.zeros(2, 4), "odd.lora_B.weight": torch.zeros(4, 2)}
    path = tmp_path / "odd.safetensors"
    save_file(tensors, path, {"ss_base_model_version": "zimage"})
    with pytest.raises(FileRejected, match="0 of 1 modules fit the model; it lacks odd"):
        require(match(read_lora(path), CONFIG))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["double_blocks.0.x", "single_blocks.0.x"], "a FLUX model"),
        (
            ["encoder.conv_in.weight", "decoder.conv_in.weight", "decoder.conv_out.weight"],
            "autoencoder",
        ),
        (["something"], "something unknown"),
    ],
)
def test_a_file_that_is_no_adapter_is_named(names, what, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole_file({name: (1,) for name in names}))
    with pytest.raises(FileRejected, match=f"is .*{what}.*, not a LoRA"):
        read_lora(path)
