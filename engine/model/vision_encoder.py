"""SigLIP 2 as a vision encoder: patches of a picture to the features that Omni reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Siglip2VisionConfig, Siglip2VisionModel

from engine.model.config import VisionConfig


class VisionEncoder(nn.Module):
    """A SigLIP 2 of any aspect ratio (NaFlex, arXiv 2502.14786), without the head that pools."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Siglip2VisionModel(
            Siglip2VisionConfig(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                patch_size=config.patch_size,
                num_patches=config.num_patches,
                layer_norm_eps=config.layer_norm_eps,
                vision_use_head=False,
                dtype=torch.float32,
            )
        )

    @property
    def stops(self) -> list[nn.Module]:
        """The modules that hold all weights, in the order in which they compute."""
        model = self.model
        return [model.embeddings, *model.encoder.layers, model.post_layernorm]

    def forward(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return features [B, rows, columns, C] of patches [B, rows * columns, 3 * patch²].

        grid: rows and columns, the same in all pictures, so that nothing is padded or masked.
        """
        count = len(patches)
        output = self.model(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], device=patches.device),
            spatial_shapes=torch.tensor([grid] * count),
        )
        features: Tensor = output.last_hidden_state
        return features.view(count, *grid, -1)
