"""The recipe names what becomes int8, and nothing else does."""

from __future__ import annotations

import torch
from torch import nn

from engine.model.config import TransformerConfig
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.quant.recipe import text_encoder_layers, transformer_layers
from tests.tiny import TEXT_ENCODER


def linears(network: nn.Module) -> set[str]:
    return {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}


def test_the_first_and_last_layer_keep_their_precision():
    names = set(transformer_layers(30))
    assert len(names) == 28 * 4
    assert {name.split(".")[1] for name in names} == {str(number) for number in range(1, 29)}


def test_a_shallow_model_has_no_exceptions():
    assert len(set(transformer_layers(5))) == 5 * 4
    assert len(set(transformer_layers(6))) == 4 * 4


def test_embedders_refiners_modulation_and_the_final_layer_keep_their_precision():
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig())
    names = set(transformer_layers(30))
    left = linears(transformer) - names
    assert names < linears(transformer)
    assert {name.split(".")[0] for name in left} >= {
        "x_embedder", "t_embedder", "cap_embedder", "noise_refiner", "context_refiner",
        "final_linear", "final_modulation",
    }  # fmt: skip
    assert all("modulation" not in name for name in names)


def test_every_linear_layer_of_the_text_encoder_becomes_int8():
    encoder = TextEncoder(TEXT_ENCODER)
    assert set(text_encoder_layers(TEXT_ENCODER["num_hidden_layers"])) == linears(encoder)
