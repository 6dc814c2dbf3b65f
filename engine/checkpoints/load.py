"""Loads the networks of a checkpoint: built without memory, then filled tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from tokenizers import Tokenizer
from torch import nn

from engine.checkpoints.assemble import RESIDENT, Rest, Target, fill
from engine.checkpoints.checkpoint import Checkpoint, Part
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    VISION_DIALECTS,
    Dialect,
    spoken,
    text_encoder_dialect,
)
from engine.checkpoints.tokenizer import read_tokenizer
from engine.checkpoints.weights import open_weights
from engine.model.layers import Block
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.model.vision_encoder import VisionEncoder
from engine.quant.half import make_half
from engine.quant.linear import make_int8
from engine.quant.products import WEIGHT_ONLY, choose
from engine.quant.recipe import (
    BLOCK_LAYERS,
    BLOCKS,
    TEXT_BLOCKS,
    Form,
    text_encoder_layers,
    transformer_layers,
)

TABLE = "model.embed_tokens.weight"
"""The text encoder's embeddings, one row a token."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which layers are int8 in memory: those of these names; those in `blocks` if stored so."""

    names: Collection[str]
    blocks: tuple[str, ...]


def load_transformer(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
    *,
    form: Form = Form.PLAIN,
    rest: Rest = RESIDENT,
) -> Transformer:
    """Load the transformer in `dtype` to `device`; raise `FileRejected` if the files do not fit.

    `on_tensor` runs before each tensor is read; it may raise to cancel. In the form INT8 the layers
    of the recipe become int8, and others in the blocks stay so where the files hold them so; on
    cards without bfloat16 the rest of the blocks then is HALF. What is left has `dtype`. rest: what
    of it waits in the computer's memory instead.
    """
    with torch.device("meta"):
        transformer = Transformer(checkpoint.transformer)
        names = set(transformer_layers(checkpoint.transformer.n_layers))
        recipe = Recipe(names, BLOCKS) if form is Form.INT8 else None
        is_old = device.type == "cuda" and dtype is torch.float32
        if form is Form.HALF or (form is Form.INT8 and is_old):
            make_half(transformer, _block_layers(transformer, names if recipe else ()))
    target = Target("transformer", dtype, device, on_tensor, rest=rest)
    part = checkpoint.parts.transformer
    return _filled(transformer, part, TRANSFORMER_DIALECTS, target, recipe)


def load_vae(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
    *,
    rest: Rest = RESIDENT,
) -> Vae:
    """Load the autoencoder, as `load_transformer`."""
    with torch.device("meta"):
        vae = Vae(checkpoint.vae)
    target = Target("autoencoder", dtype, device, on_tensor, rest=rest)
    return _filled(vae, checkpoint.parts.vae, VAE_DIALECTS, target)


def load_vision_encoder(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
) -> VisionEncoder:
    """Load the vision encoder of a model that reads pictures, as `load_transformer`."""
    part, config = checkpoint.parts.vision, checkpoint.vision
    if part is None or config is None:
        raise TypeError("this model has no vision encoder")
    with torch.device("meta"):
        encoder = VisionEncoder(config)
    target = Target("vision encoder", dtype, device, on_tensor)
    return _filled(encoder, part, VISION_DIALECTS, target)


def load_text_encoder(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
    *,
    form: Form = Form.PLAIN,
    rest: Rest = RESIDENT,
) -> TextEncoder:
    """Load the text encoder, as `load_transformer`; its last layer is neither read nor built.

    Positions are computed in float32 whatever `dtype` is. The table of embeddings stays in the
    computer's memory: a prompt needs few of its rows.
    """
    layers = checkpoint.text_encoder["num_hidden_layers"]
    with torch.device("meta"):
        encoder = TextEncoder(checkpoint.text_encoder)
        if form is Form.HALF:
            make_half(encoder, text_encoder_layers(layers))
    is_int8 = form is Form.INT8
    recipe = Recipe(set(text_encoder_layers(layers)), TEXT_BLOCKS) if is_int8 else None
    target = Target("text encoder", dtype, device, on_tensor, stays=(TABLE,), rest=rest)
    dialects = (text_encoder_dialect(layers),)
    return _filled(encoder, checkpoint.parts.text_encoder, dialects, target, recipe)


def _block_layers(transformer: Transformer, but: Collection[str]) -> list[str]:
    """Return the names of the products in all blocks, `but` some; their attention becomes half."""
    blocks = [name for name, part in transformer.named_modules() if isinstance(part, Block)]
    for name in blocks:
        cast(Block, transformer.get_submodule(name)).attention.in_half = True
    return [
        name
        for block in blocks
        for layer in BLOCK_LAYERS
        if (name := f"{block}.{layer}") not in but
    ]


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Load the tokenizer; raise `FileRejected` if it is not a Qwen2 tokenizer of this encoder."""
    return read_tokenizer(checkpoint.tokenizer, checkpoint.text_encoder["vocab_size"])


def _filled(
    network: Network,
    part: Part,
    dialects: tuple[Dialect, ...],
    target: Target,
    recipe: Recipe | None = None,
) -> Network:
    """Fill a network on the meta device, and make it ready to compute with."""
    dialect, prefix = spoken(part.shapes, dialects)
    if recipe is not None:
        moved = {name for name in recipe.names if target.rest.piece(f"{name}.weight") is not None}
        for names, movable in ((set(recipe.names) - moved, False), (moved, True)):
            if names:
                make_int8(network, names, choose(target.device, movable=movable))
        kept = _stored_int8(network, part, dialect, prefix)
        make_int8(network, (name for name in kept if name.startswith(recipe.blocks)), WEIGHT_ONLY)
    with open_weights(part.headers, part.weights) as source:
        fill(network, source, dialect, target)
    _bring_buffers(network, target)
    return network.eval()


def _bring_buffers(network: nn.Module, target: Target) -> None:
    """Move to the device what no file holds, such as the angles of positions."""
    for prefix, owner in network.named_modules():
        for leaf, buffer in owner.named_buffers(recurse=False):
            if not target.rest.on_host(f"{prefix}.{leaf}"):
                setattr(owner, leaf, buffer.to(target.device))


def _stored_int8(network: nn.Module, part: Part, dialect: Dialect, prefix: str) -> list[str]:
    """Return the plain linear layers of a network that a file holds as int8 rows."""
    kept = {name for name, weight in part.weights.items() if weight.keeps_int8}
    return [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
        and kept.issuperset(prefix + piece for piece in dialect.naming(f"{name}.weight"))
    ]
