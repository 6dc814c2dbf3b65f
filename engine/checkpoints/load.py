"""Loads the networks of a checkpoint: built without memory, then filled tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import nn

from engine.checkpoints.assemble import Target, fill
from engine.checkpoints.folder import Checkpoint, Part
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    Dialect,
    spoken,
    text_encoder_dialect,
)
from engine.checkpoints.tokenizer import read_tokenizer
from engine.checkpoints.weights import open_weights
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae

Network = TypeVar("Network", bound=nn.Module)


def load_transformer(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
) -> Transformer:
    """Load the transformer in `dtype` to `device`; raise `FileRejected` if the files do not fit.

    `on_tensor` runs before each tensor is read; it may raise to cancel.
    """
    with torch.device("meta"):
        transformer = Transformer(checkpoint.transformer)
    target = Target("transformer", dtype, device, on_tensor)
    return _filled(transformer, checkpoint.parts.transformer, TRANSFORMER_DIALECTS, target)


def load_vae(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
) -> Vae:
    """Load the autoencoder, as `load_transformer`."""
    with torch.device("meta"):
        vae = Vae(checkpoint.vae)
    target = Target("autoencoder", dtype, device, on_tensor)
    return _filled(vae, checkpoint.parts.vae, VAE_DIALECTS, target)


def load_text_encoder(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    on_tensor: Callable[[], None] = lambda: None,
) -> TextEncoder:
    """Load the text encoder, as `load_transformer`; its last layer is neither read nor built.

    Positions are computed in float32 whatever `dtype` is.
    """
    with torch.device("meta"):
        encoder = TextEncoder(checkpoint.text_encoder)
    dialects = (text_encoder_dialect(checkpoint.text_encoder["num_hidden_layers"]),)
    target = Target("text encoder", dtype, device, on_tensor)
    return _filled(encoder, checkpoint.parts.text_encoder, dialects, target)


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Load the tokenizer; raise `FileRejected` if it is not a Qwen2 tokenizer of this encoder."""
    return read_tokenizer(checkpoint.tokenizer, checkpoint.text_encoder["vocab_size"])


def _filled(network: Network, part: Part, dialects: tuple[Dialect, ...], target: Target) -> Network:
    """Fill a network on the meta device, and make it ready to compute with."""
    dialect, _ = spoken(part.shapes, dialects)
    with open_weights(part.headers, part.weights) as source:
        fill(network, source, dialect, target)
    return network.to(target.device).eval()
