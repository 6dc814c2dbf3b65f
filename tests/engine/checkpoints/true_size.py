"""Files of the public 6.15 B model: true names and shapes, and zeros that take no room on a disk.

The names come from the reference libraries' own networks, the forms of quantised weights from the
public descriptions of the formats.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests.engine.checkpoints import forge_gguf
from tests.engine.checkpoints.layouts import original_transformer_name
from tests.engine.checkpoints.test_folder import original_name

Shapes = dict[str, tuple[int, ...]]
Entries = dict[str, tuple[str, tuple[int, ...]]]
"""Number type and shape of each tensor."""

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
QWEN3 = {
    "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
    "tie_word_embeddings": True,
}  # fmt: skip


def _shapes(network: torch.nn.Module) -> Shapes:
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


@cache
def transformer() -> Shapes:
    with torch.device("meta"):
        return _shapes(ZImageTransformer2DModel(axes_lens=[1536, 512, 512]))


@cache
def text_encoder() -> Shapes:
    with torch.device("meta"):
        shapes = _shapes(Qwen3ForCausalLM(Qwen3Config(**QWEN3)))
    return {name: shape for name, shape in shapes.items() if name != "lm_head.weight"}


@cache
def vae() -> Shapes:
    with torch.device("meta"):
        network = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16,
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
            use_quant_conv=False, use_post_quant_conv=False,
        )  # fmt: skip
    return _shapes(network)


def original(shapes: Shapes) -> Shapes:
    """Rename a transformer to the original names, q, k and v in one."""
    found: Shapes = {}
    for name, shape in shapes.items():
        if name.endswith("attention.to_q.weight"):
            found[name.replace("to_q", "qkv")] = (3 * shape[0], shape[1])
        elif not name.endswith(("to_k.weight", "to_v.weight")):
            found[original_transformer_name(name)] = shape
    return found


def original_vae(shapes: Shapes) -> Shapes:
    return {original_name(name): shape for name, shape in shapes.items()}


def behind(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    """Say whether a weight is a matrix of the main layers: what every program quantises."""
    return len(shape) == 2 and name.endswith(".weight") and "layers." in name


Quantised = tuple[Entries, dict[str, str]]
"""A file's tensors and metadata."""


def plain(dtype: str) -> Callable[[Shapes], Quantised]:
    return lambda shapes: ({name: (dtype, shape) for name, shape in shapes.items()}, {})


def _layers(quantise: Callable[[str, tuple[int, int]], Entries], metadata: str = "") -> Callable:
    """Quantise each matrix of the layers; the rest stays bfloat16."""

    def whole(shapes: Shapes) -> Quantised:
        found: Entries = {}
        layers = {}
        for name, shape in shapes.items():
            if _is_linear(name, shape):
                layer = name.removesuffix(".weight")
                found |= quantise(layer, (shape[0], shape[1]))
                layers[layer] = json.loads(metadata or "{}")
            else:
                found[name] = ("BF16", shape)
        table = json.dumps({"format_version": "1.0", "layers": layers})
        return found, {"_quantization_metadata": table} if metadata else {}

    return whole


def fp8(layer: str, shape: tuple[int, int]) -> Entries:
    return {f"{layer}.weight": ("F8_E4M3", shape)}


def old_fp8(layer: str, shape: tuple[int, int]) -> Entries:
    scales = {f"{layer}.scale_weight": ("F32", ()), f"{layer}.scale_input": ("F32", ())}
    return fp8(layer, shape) | scales | {"scaled_fp8": ("F8_E4M3", (2,))}


def comfy_fp8(layer: str, shape: tuple[int, int]) -> Entries:
    return fp8(layer, shape) | {f"{layer}.weight_scale": ("F32", ())}


def comfy_int8(layer: str, shape: tuple[int, int]) -> Entries:
    scale = {f"{layer}.weight_scale": ("F32", (shape[0], 1))}
    return {f"{layer}.weight": ("I8", shape), **scale}


def nvfp4(layer: str, shape: tuple[int, int]) -> Entries:
    rows, columns = shape
    return {
        f"{layer}.weight": ("U8", (rows, columns // 2)),
        f"{layer}.weight_scale": ("F8_E4M3", (-(-rows // 128) * 128, columns // 16)),
        f"{layer}.weight_scale_2": ("F32", ()),
    }


def quanto(layer: str, shape: tuple[int, int]) -> Entries:
    return {
        f"{layer}.weight._data": ("I8", shape),
        f"{layer}.weight._scale": ("BF16", (shape[0], 1)),
        f"{layer}.input_scale": ("BF16", ()),
        f"{layer}.output_scale": ("BF16", ()),
    }


FORMS: dict[str, Callable[[Shapes], Quantised]] = {
    "bf16": plain("BF16"),
    "f16": plain("F16"),
    "f32": plain("F32"),
    "fp8": _layers(fp8),
    "fp8 (scaled), old": _layers(old_fp8),
    "fp8 (scaled)": _layers(comfy_fp8, '{"format": "float8_e4m3fn"}'),
    "int8 (ComfyUI)": _layers(comfy_int8, '{"format": "int8_tensorwise"}'),
    "int8 (ConvRot)": _layers(
        comfy_int8, '{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256}'
    ),
    "nvfp4": _layers(nvfp4, '{"format": "nvfp4"}'),
    "int8 (quanto)": _layers(quanto),
}
"""Each form by what its weights are called once recognised; what follows a comma is ours."""


def write(path: Path, entries: Entries, metadata: dict[str, str] | None = None) -> Path:
    """Write a safetensors file of zeros; its holes take no room."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, (dtype, shape) in entries.items():
        end = position + prod(shape) * SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    return _sparse(path, struct.pack("<Q", len(text)) + text, position)


def write_gguf(path: Path, shapes: Shapes, kind: int, metadata: dict[str, str]) -> Path:
    """Write a GGUF file of zeros, its matrices in blocks of `kind` where their rows fill them."""
    described, position = [], 0
    for name, shape in shapes.items():
        fits = len(shape) == 2 and shape[1] % forge_gguf.SIZES[kind][0] == 0
        number = kind if fits else 0
        weights, size = forge_gguf.SIZES[number]
        described.append(forge_gguf.tensor(name, shape[::-1], number, position))
        position += -(-(prod(shape) // weights * size) // 32) * 32
    values = [forge_gguf.value(k, 8, forge_gguf.text(v)) for k, v in metadata.items()]
    return _sparse(path, forge_gguf.packed(described, values), position)


def _sparse(path: Path, head: bytes, zeros: int) -> Path:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + zeros)
    return path


def llama(shapes: Shapes) -> Shapes:
    """Rename a Qwen3 to the names that llama.cpp gives."""
    words = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers": "blk",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    found: Shapes = {}
    for name, shape in shapes.items():
        renamed = name
        for theirs, ours in words.items():
            renamed = renamed.replace(theirs, ours)
        found[renamed] = shape
    return found


def nunchaku(shapes: Shapes, rank: int) -> Quantised:
    """Quantise the main layers as Nunchaku does: 4 bits in groups of 64, q, k and v fused."""
    found: Entries = {}
    for name, shape in shapes.items():
        layer = name.removesuffix(".weight")
        attention, _, _ = layer.rpartition(".")
        if not name.startswith("layers.") or len(shape) != 2 or "adaLN" in name:
            found[name] = ("BF16", shape)
        elif layer.endswith("to_q"):
            found |= _svdq(f"{attention}.to_qkv", (3 * shape[0], shape[1]), rank)
        elif layer.endswith("to_out.0"):
            found |= _svdq(layer, shape, rank)
        elif layer.endswith("w1"):
            found |= _svdq(f"{attention}.net.0.proj", (2 * shape[0], shape[1]), rank)
        elif layer.endswith("w2"):
            found |= _svdq(f"{attention}.net.2", shape, rank)
    return found, {"model_class": "NunchakuZImageTransformer2DModel"}


def _svdq(layer: str, shape: tuple[int, ...], rank: int) -> Entries:
    rows, columns = shape
    return {
        f"{layer}.qweight": ("I8", (rows, columns // 2)),
        f"{layer}.wscales": ("BF16", (columns // 64, rows)),
        f"{layer}.smooth_factor": ("BF16", (columns,)),
        f"{layer}.smooth_factor_orig": ("BF16", (columns,)),
        f"{layer}.proj_down": ("BF16", (columns, rank)),
        f"{layer}.proj_up": ("BF16", (rows, rank)),
    }
