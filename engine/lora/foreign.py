"""Tells what an adapter was made for that does not fit Z-Image: from its modules' names."""

from __future__ import annotations

import re
from typing import Final

from engine.lora.file import LoraFile
from engine.lora.names import canonical

_KINDS: Final = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("HunyuanVideo", r"single_blocks_\d+_linear1|individual_token_refiner"),
        ("Chroma", r"distilled_guidance_layer"),
        ("HiDream", r"double_stream_blocks_\d|single_stream_blocks_\d+_block"),
        ("FLUX.2", r"double_stream_modulation|single_transformer_blocks_\d+_attn_to_qkv_mlp"),
        ("FLUX", r"double_blocks_\d+_(img|txt)|single_blocks_\d|single_transformer_blocks_\d"),
        ("AuraFlow", r"double_layers_\d|joint_transformer_blocks_\d"),
        ("Stable Diffusion 3", r"joint_blocks_\d"),
        ("Qwen-Image", r"transformer_blocks_\d+_(img|txt)_(mlp|mod)"),
        ("Stable Diffusion 3", r"transformer_blocks_\d+_(attn_add_|ff_context)"),
        ("Cosmos", r"blocks_\d+_adaln_modulation_|blocks_\d+_(self|cross)_attn_[qkv]_proj"),
        ("Wan", r"^blocks_\d+_(self_attn|cross_attn|ffn)_"),
        ("Wan", r"^blocks_\d+_attn[12]_to_"),
        ("Stable Diffusion", r"(?:input|output|down|up|middle|mid)_blocks?_\w*(?:attn|proj|res)"),
        ("LTX-Video or PixArt", r"^transformer_blocks_\d+_(attn[12]_|ff_net)"),
        ("Lumina 2", r"^(layers|noise_refiner)_\d+_(adaLN_modulation_1|norm1_linear|attn_to_|"
                     r"feed_forward_linear_)"),
        ("a language model", r"layers_\d+_(self_attn_[qkvo]_proj|mlp_(gate|up|down)_proj)"),
    )
)  # fmt: skip
_CROSS_KEYS: Final = re.compile(r"attn2_to_k$")
_BY_CONTEXT: Final = {768: "SD 1.5", 1024: "SD 2", 2048: "SDXL"}
_LUMINA_WIDTH: Final = 2304
_CLAIMS: Final = ("modelspec.architecture", "ss_base_model_version")
MAX_CLAIM: Final = 60


def purpose(lora: LoraFile) -> str | None:
    """Return what a stranger's adapter is for, None where neither names nor metadata tell."""
    names = [canonical(change.module) for change in lora.changes]
    names += [canonical(name) for name in lora.strange]
    for kind, pattern in _KINDS:
        if any(pattern.search(name) for name in names):
            return _generation(lora) if kind == "Stable Diffusion" else kind
    if any(
        change.module.startswith("layers.") and _LUMINA_WIDTH in change.shape
        for change in lora.changes
    ):
        return "Lumina 2"
    return claim(lora)


def claim(lora: LoraFile) -> str | None:
    """Return what the metadata says an adapter was made for, cut short, if it is not Z-Image."""
    for name in _CLAIMS:
        said = printable(lora.header.metadata.get(name, ""), MAX_CLAIM)
        if said and not re.search(r"z[-_ ]?image|zit\b", said, re.IGNORECASE):
            return said
    return None


def printable(text: str, longest: int) -> str:
    """Return a stranger's text on one line, without control characters, cut to `longest`."""
    short = " ".join(text[: 4 * longest].split())
    return "".join(letter for letter in short if letter.isprintable())[:longest]


def _generation(lora: LoraFile) -> str:
    """Tell the generations of Stable Diffusion apart by the width of their text features."""
    widths = {
        change.shape[1]
        for change in lora.changes
        if _CROSS_KEYS.search(canonical(change.module)) and len(change.shape) == 2
    }
    known = sorted(_BY_CONTEXT[width] for width in widths & _BY_CONTEXT.keys())
    return known[-1] if known else "Stable Diffusion"
