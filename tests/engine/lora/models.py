"""The tiny model of these tests in our own words, and what it amounts to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.lora.apply import Adapter
from engine.lora.file import LoraFile
from engine.lora.match import match
from engine.model.transformer import Transformer
from tests.tiny import TRANSFORMER

CONFIG = TRANSFORMER
NAMES = {
    "all_final_layer.2-1.adaLN_modulation.1": "final_modulation",
    "adaLN_modulation.0": "modulation",
    "all_final_layer.2-1.linear": "final_linear",
    "all_x_embedder.2-1": "x_embedder",
    "to_out.0": "out",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
    "t_embedder.mlp": "t_embedder",
}


def ours(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by diffusers' names as our transformer holds them."""
    left, found = dict(weights), {}
    for name in weights:
        if ".to_q." in name:
            parts = [left.pop(name.replace("to_q", part)) for part in ("to_q", "to_k", "to_v")]
            found[name.replace("to_q", "qkv")] = torch.cat(parts)
        if ".w1." in name:
            gate, value = left.pop(name), left.pop(name.replace(".w1.", ".w3."))
            found[name.replace(".w1.", ".w13.")] = torch.cat([gate, value])
    for theirs, mine in NAMES.items():
        left = {name.replace(theirs, mine): weight for name, weight in left.items()}
    return {**found, **left}


def transformer_of(weights: dict[str, Tensor], dtype: torch.dtype) -> Transformer:
    """Our transformer with these weights."""
    model = Transformer(CONFIG).to(dtype)
    model.load_state_dict({name: w.to(dtype) for name, w in ours(weights).items()})
    return model.requires_grad_(False).eval()


def fitted(lora: LoraFile, weight: float = 1.0) -> Adapter:
    """A file as an adapter of the tiny model."""
    return Adapter(match(lora, CONFIG), weight)


def effective(model: Transformer) -> dict[str, Tensor]:
    """What every parameter amounts to; a matrix by what it does to each axis."""
    found = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if weight is None or ".base" in f".{name}." or ".terms." in name:
            continue
        bias = getattr(module, "bias", None)
        if weight.ndim == 2:
            axes = torch.eye(weight.shape[1], dtype=torch.float32)
            zero = module(torch.zeros(1, weight.shape[1]))
            found[f"{name}.weight"] = (module(axes) - zero).T.double()
        else:
            found[f"{name}.weight"] = weight.double()
        if bias is not None:
            found[f"{name}.bias"] = (zero[0] if weight.ndim == 2 else bias).double()
    for token in ("x_pad_token", "cap_pad_token"):
        found[token] = getattr(model, token).double()
    return found


def paint(model: Transformer, dtype: torch.dtype) -> Tensor:
    """One evaluation of the whole network on a fixed input, [1, 16, 8, 8]."""
    rng = torch.Generator().manual_seed(5)
    latents = torch.randn(1, 16, 8, 8, generator=rng).to(dtype)
    features = torch.randn(1, 7, CONFIG.cap_feat_dim, generator=rng).to(dtype)
    with torch.inference_mode():
        captions = model.refine_caption(features)
        modulation = model.modulate(torch.tensor([0.3]))
        return model(latents, modulation.at(0), model.arrange([captions[0]], 8, 8))


def modules(model: nn.Module) -> dict[str, int]:
    """Every module and parameter by name, as the identity of the object."""
    parts = {name: id(module) for name, module in model.named_modules()}
    return parts | {f"{name}!": id(parameter) for name, parameter in model.named_parameters()}
