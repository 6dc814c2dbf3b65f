"""The steps of a fused block written with PyTorch, and blocks to run them on; each step counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.config import TransformerConfig
from engine.model.layers import Block, BlockModulation
from engine.model.rope import Rotation, rotate, rotation
from engine.quant.fused_block import Norm, Tokens
from engine.quant.linear import Int8Linear
from engine.quant.products import Integer, Product
from engine.quant.recipe import BLOCK_LAYERS
from engine.quant.rows import quantise_rows, quantise_tokens

CONFIG = TransformerConfig(dim=48, n_heads=2, axes_dims=(8, 8, 8))


class PlainKernels:
    """What the kernels of a card do, in the order of a card's launches."""

    def __init__(self) -> None:
        self.launched: list[str] = []

    def normalise(self, x: Tensor, norm: Norm, *, rounds: bool) -> Tokens:
        self.launched.append("normalise")
        return self._tokens(normed(x, norm), rounds)

    def quantise(self, x: Tensor) -> Tokens:
        self.launched.append("quantise")
        return self._tokens(x, True)

    def multiply(self, tokens: Tokens, weight: tuple[Tensor, Tensor], out: Tensor) -> None:
        self.launched.append("multiply")
        sums = tokens.values.double() @ weight[0].double().t()
        out.copy_(sums * tokens.scales[:, None] * weight[1])

    def turn(
        self, qkv: Tensor, weights: tuple[Tensor, Tensor], eps: float, angles: Rotation
    ) -> None:
        self.launched.append("turn")
        apart = qkv.view(-1, angles.cos.shape[0] * angles.cos.shape[1], *qkv.shape[1:])
        flat = Rotation(
            *(part.reshape(1, -1, 1, part.shape[-1]) for part in (angles.cos, angles.sin))
        )
        for place, weight in enumerate(weights):
            each = apart[:, :, place]
            each.copy_(rotate(F.rms_norm(each, weight.shape, weight, eps), flat))

    def add(self, x: Tensor, change: Tensor, gate: Norm) -> None:
        self.launched.append("add")
        change.copy_(x + normed(change, gate))

    def add_and_normalise(
        self, x: Tensor, change: Tensor, gate: Norm, norm: Norm, *, rounds: bool
    ) -> Tokens:
        self.launched.append("add_and_normalise")
        change.copy_(x + normed(change, gate))
        return self._tokens(normed(change, norm), rounds)

    def swiglu(self, w13: Tensor, *, rounds: bool) -> Tokens:
        self.launched.append("swiglu")
        gate, value = w13.chunk(2, dim=-1)
        return self._tokens(F.silu(gate) * value, rounds)

    def _tokens(self, x: Tensor, rounds: bool) -> Tokens:
        flat = x.reshape(-1, x.shape[-1])
        if not rounds:
            return Tokens(flat, None)
        steps, scales = quantise_tokens(flat)
        return Tokens(steps.round().to(torch.int8), scales.flatten())


def normed(x: Tensor, norm: Norm) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.eps) * norm.factor


def make_block(
    *, int8: bool, dtype: torch.dtype = torch.float32, product: Product | None = None,
    config: TransformerConfig = CONFIG, std: float = 0.2,
) -> Block:  # fmt: skip
    """A block with random weights, norms away from one."""
    block = Block(config, modulated=True).requires_grad_(requires_grad=False)
    for parameter in block.parameters():
        nn.init.normal_(parameter, mean=parameter.ndim == 1, std=std)
    block.to(dtype)
    for name in BLOCK_LAYERS if int8 else ():
        make_layer_int8(block, name, product or Integer())
    return block


def make_layer_int8(block: Block, name: str, product: Product) -> None:
    linear = block.get_submodule(name)
    half, _, leaf = name.rpartition(".")
    layer = Int8Linear(linear.in_features, linear.out_features, bias=False, product=product)
    layer.fill(quantise_rows(linear.weight.float()))
    setattr(block.get_submodule(half), leaf, layer)


def make_inputs(
    groups: int, tokens: int, times: int, *, config: TransformerConfig = CONFIG,
    dtype: torch.dtype = torch.float32, places: int = 1,
) -> tuple[Tensor, Rotation, BlockModulation]:  # fmt: skip
    """Tokens, angles and modulation, of which `times` sequences have their own."""
    x = torch.randn(groups, tokens, config.dim).to(dtype)
    positions = torch.randint(0, 30, (places, tokens, 3))
    table = 1 + 0.3 * torch.randn(times, 1, 4 * config.dim)
    angles = rotation(positions, config.axes_dims, config.rope_theta)
    return x, angles, BlockModulation(*table.to(dtype).chunk(4, dim=-1))
