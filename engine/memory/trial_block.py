"""One block at a model's true width, filled at random, on which ways of computing are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from engine.memory.place import Place
from engine.model.config import TransformerConfig
from engine.model.layers import Block, BlockModulation
from engine.model.rope import Rotation
from engine.model.transformer import Transformer
from engine.quant.linear import Int8Linear, make_int8
from engine.quant.products import choose
from engine.quant.recipe import BLOCK_LAYERS
from engine.quant.rows import Rows
from engine.request import Precision

SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is computed in one trial: a main layer of `config` over so many tokens."""

    config: TransformerConfig = field(default_factory=TransformerConfig)
    tokens: int


class TrialBlock:
    """A main layer with int8 products, in a network of its own, and tokens to run it over."""

    def __init__(self, trial: Trial, device: torch.device) -> None:
        config = replace(trial.config, n_layers=1, n_refiner_layers=0)
        self.dtype = Place(device=str(device), precision=Precision.INT8).dtype
        with torch.device("meta"):
            network = Transformer(config)
        self.block = cast(Block, network.layers[0])
        make_int8(self.block, BLOCK_LAYERS, choose(device))
        self.network = network.to(self.dtype).to_empty(device=device).requires_grad_(False).eval()
        generator = torch.Generator(device).manual_seed(0)
        for weight in self.block.parameters():
            weight.fill_(1.0)
        for name in BLOCK_LAYERS:
            self._layer(name).fill(_rows(self._layer(name), generator))
        shape = (1, trial.tokens, config.dim)
        self._x = torch.randn(shape, generator=generator, device=device).to(self.dtype)
        angles = torch.zeros(1, trial.tokens, 1, config.head_dim // 2, device=device)
        self._angles = Rotation(angles.cos(), angles.sin())
        one = torch.ones(1, 1, config.dim, dtype=self.dtype, device=device)
        self._modulation = BlockModulation(one, one / 2, one, one / 2)

    @torch.inference_mode()
    def run(self) -> Tensor:
        """Compute the block, [1, T, D] -> [1, T, D]."""
        out: Tensor = self.block(self._x, self._angles, None, self._modulation)
        return out

    def _layer(self, name: str) -> Int8Linear:
        layer = self.block.get_submodule(name)
        if not isinstance(layer, Int8Linear):
            raise TypeError(f"{name} is no int8 layer")
        return layer


def _rows(layer: Int8Linear, generator: torch.Generator) -> Rows:
    shape: Sequence[int] = (layer.out_features, layer.in_features)
    device = generator.device
    values = torch.randint(
        -127, 128, tuple(shape), dtype=torch.int8, generator=generator, device=device
    )
    return Rows(values, torch.full(shape[:1], SPREAD / 64, device=device))
