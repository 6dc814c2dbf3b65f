"""Names of a Qwen3's weights in files of llama.cpp, as the Hugging Face libraries know them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LLAMA_MARKER: Final = "token_embd.weight"
"""A weight that every language model in llama.cpp's names has, and no other file."""

_BLOCK: Final = re.compile(r"blk\.([0-9]{1,4})\.([a-z_]+)\.(weight|bias)")

_IN_BLOCK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
)

_ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        LLAMA_MARKER: "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
)


def library_name(name: str) -> str:
    """Return the library's name for a name of llama.cpp; an unknown name stays as it is."""
    found = _BLOCK.fullmatch(name)
    if found and found[2] in _IN_BLOCK:
        return f"model.layers.{int(found[1])}.{_IN_BLOCK[found[2]]}.{found[3]}"
    return _ELSEWHERE.get(name, name)
