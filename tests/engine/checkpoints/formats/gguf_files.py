"""Writes models as GGUF with the format's own package, and knows what each weight then is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, dequantize, quantize
from torch import Tensor

PLAIN = ("F32", "F16", "BF16")
K_SCALES_AT = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Where a block of a K type holds float16 numbers, which random bytes would make NaN."""

LLAMA_NAMES = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: Path, architecture: str, weights: Mapping[str, Tensor], kind_of: Callable[[str], str]
) -> dict[str, Tensor]:
    """Write weights, each in the type that `kind_of` its name is; return what they then are.

    Weights whose rows are no whole blocks, and all but matrices, are written in float32. The
    package quantises to no K type: such a weight gets random blocks instead.
    """
    writer = GGUFWriter(path, architecture)
    meaning = {}
    for name, weight in weights.items():
        array = weight.detach().float().numpy()
        kind = GGMLQuantizationType[kind_of(name)]
        if array.ndim != 2 or array.shape[-1] % GGML_QUANT_SIZES[kind][0]:
            kind = GGMLQuantizationType.F32
        stored = random_blocks(array.shape, kind) if kind.name in K_SCALES_AT else None
        stored = quantize(array, kind) if stored is None else stored
        writer.add_tensor(name, stored, raw_dtype=kind)
        meaning[name] = torch.from_numpy(dequantize(stored, kind)).reshape(array.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meaning


def random_blocks(shape: tuple[int, ...], kind: GGMLQuantizationType) -> np.ndarray:
    """Random bytes as the blocks of a matrix, uint8 [rows, bytes of a row], with small scales."""
    weights, size = GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // weights, size), dtype=np.uint8)
    for place in K_SCALES_AT[kind.name]:
        scales = rng.uniform(0, 2e-4, (len(blocks), 1)).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8)
    return blocks.reshape(shape[0], -1)


def original_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original dialect, as image models in GGUF files have it: q, k and v are one matrix."""
    found = {}
    for theirs, weight in weights.items():
        name = theirs.replace(".to_out.0.", ".out.").replace(".norm_q.", ".q_norm.")
        name = name.replace(".norm_k.", ".k_norm.").replace("all_x_embedder.2-1.", "x_embedder.")
        name = name.replace("all_final_layer.2-1.", "final_layer.")
        if ".to_q." in name:
            rows = [weights[theirs.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")]
            found[name.replace("to_q", "qkv")] = torch.cat(rows)
        elif ".to_k." not in name and ".to_v." not in name:
            found[name] = weight
    return found


def diffusers_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `original_names`."""
    found = {}
    for theirs, weight in weights.items():
        name = theirs.replace(".attention.out.", ".attention.to_out.0.")
        name = name.replace(".q_norm.", ".norm_q.").replace(".k_norm.", ".norm_k.")
        name = name.replace("x_embedder.", "all_x_embedder.2-1.")
        name = name.replace("final_layer.", "all_final_layer.2-1.")
        parts = ("to_q", "to_k", "to_v") if ".qkv." in name else ("",)
        for part, rows in zip(parts, weight.chunk(len(parts)), strict=True):
            found[name.replace("qkv", part)] = rows
    return found


def llama_name(name: str) -> str:
    """The name that llama.cpp gives a weight of a Qwen3."""
    name = name.replace("layers.", "blk.")
    for theirs, llama in LLAMA_NAMES.items():
        if name == theirs or f".{theirs}." in name:
            return name.replace(theirs, llama)
    raise AssertionError(name)
