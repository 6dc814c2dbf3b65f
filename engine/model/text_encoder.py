"""Qwen3 as a text encoder: prompt tokens to the features that condition the transformer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from engine.model.shapes import UNUSED_LAYERS


class TextEncoder(nn.Module):
    """The layers of a Qwen3 language model up to the one whose output is used.

    The reference takes `hidden_states[-2]`: the output of the last but one layer, before the final
    norm. Prompts are causal, so padding on the right could not change a token: none is used.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        layers = int(config["num_hidden_layers"]) - UNUSED_LAYERS
        shortened = {**config, "num_hidden_layers": layers}
        self.model = Qwen3Model(Qwen3Config(**shortened, dtype=torch.float32))
        self.model.norm = nn.Identity()  # type: ignore[assignment]
        # No file holds the angles, so they are real numbers even where the weights are yet to come.
        with torch.device("cpu"):
            self.model.rotary_emb = Qwen3RotaryEmbedding(self.model.config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features [B, L, cap_feat_dim] of token ids [B, L] int64, on their device.

        The table of embeddings may lie elsewhere: only the rows of these tokens are sent.
        """
        table: nn.Embedding = self.model.embed_tokens
        rows = table(tokens.to(table.weight.device)).to(tokens.device)
        output = self.model(inputs_embeds=rows, use_cache=False)
        features: Tensor = output.last_hidden_state
        return features
