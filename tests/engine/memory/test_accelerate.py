"""A loaded transformer gets what its device allows, and computes the same."""

from __future__ import annotations

import importlib.util
import logging

import pytest
import torch

from engine.memory import accelerate as accelerating
from engine.memory import forms
from engine.memory.accelerate import Options, accelerate, compile_block
from engine.memory.forms import CompiledForm, FusedForm
from engine.memory.graphs import Graphs
from engine.model.attention import Checked, sdpa
from engine.model.layers import plain
from engine.model.transformer import Transformer
from engine.quant.linear import make_int8
from engine.quant.recipe import transformer_layers
from engine.quant.rows import quantise_rows
from engine.settings import Attention
from tests.engine.quant.plain_kernels import CONFIG, PlainKernels

CPU, CARD = torch.device("cpu"), torch.device("cuda")
compiles = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""PyTorch's compiler uses what PyTorch calls outdated."""


@pytest.fixture
def transformer() -> Transformer:
    model = Transformer(CONFIG).eval().requires_grad_(requires_grad=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def card(monkeypatch):
    """A card whose kernels are PyTorch's own, and which is faster than the plain form."""
    kernels = PlainKernels()

    class Tape:
        def __init__(self, device):
            assert device is CARD

        def seconds(self, work):
            work()
            return 0.0, 1.0

    def choose(device, dtype, head_dim, *, is_base, wanted):
        asked = "" if wanted is Attention.AUTO else f" {wanted}"
        return Checked(f"{dtype} {head_dim} {is_base}{asked}", sdpa)

    monkeypatch.setattr(accelerating, "CudaRecorder", Tape)
    monkeypatch.setattr(accelerating, "choose_attention", choose)
    monkeypatch.setattr(accelerating, "_kernels", lambda *_: kernels)
    monkeypatch.setattr(forms, "_is_faster", lambda *_: True)
    return kernels


def predicted(model: Transformer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(1, 9, CONFIG.cap_feat_dim, generator=generator)
    latents = torch.randn(1, 16, 8, 8, generator=generator)
    with torch.inference_mode():
        context = model.arrange([model.refine_caption(features)[0]], 8, 8)
        return model(latents, model.modulate(torch.tensor([0.3])), context)


def test_other_devices_keep_what_they_have(transformer):
    before = [block.attention.attend for block in transformer.layers]
    assert accelerate(transformer, CPU, torch.float32, is_base=True) == ()
    assert accelerate(transformer, torch.device("mps"), torch.float32, is_base=True) == ()
    assert all(block.form is plain for block in transformer.layers)
    assert [block.attention.attend for block in transformer.layers] == before


def test_a_card_gets_attention_fused_blocks_and_graphs(transformer, card):
    right = predicted(transformer)
    taken = accelerate(transformer, CARD, torch.bfloat16, is_base=True)
    assert taken == ("torch.bfloat16 24 True", "fused blocks", "CUDA graphs")
    found = predicted(transformer)
    assert (found - right).norm() <= 1e-3 * right.norm()
    assert card.launched.count("swiglu") > 0
    blocks = (*transformer.noise_refiner, *transformer.layers)
    assert {type(block.form) for block in blocks} == {Graphs}
    captions = transformer.context_refiner
    assert all(block.form is plain for block in captions)
    assert all(type(block.attention.attend) is Checked for block in (*blocks, *captions))


@compiles
@pytest.mark.parametrize(
    ("options", "taken", "form"),
    [
        (Options(graphs=False), ("fused blocks",), FusedForm),
        (Options(fused=False), ("CUDA graphs",), Graphs),
        (Options(fused=False, graphs=False), (), None),
        (Options(compiled=True), ("compiled blocks",), CompiledForm),
    ],
)
def test_what_is_not_wanted_is_not_taken(transformer, card, options, taken, form):
    found = accelerate(transformer, CARD, torch.bfloat16, is_base=False, options=options)
    assert found == ("torch.bfloat16 24 False", *taken)
    assert {type(block.form) for block in transformer.layers} == {form or type(plain)}


def test_products_in_float16_choose_their_attention_in_float16(transformer, card):
    for block in transformer.layers:
        block.attention.in_half = True
    taken = accelerate(transformer, CARD, torch.float32, is_base=False)
    assert taken[0] == "torch.float16 24 False"


def test_the_attention_that_the_user_wants_is_asked_for(transformer, card):
    options = Options(attention=Attention.FLASH)
    taken = accelerate(transformer, CARD, torch.bfloat16, is_base=True, options=options)
    assert taken[0] == "torch.bfloat16 24 True flash"


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="Triton is here")
def test_without_triton_the_rest_is_taken(transformer, card, monkeypatch, caplog):
    monkeypatch.undo()
    with caplog.at_level(logging.INFO):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
        assert accelerating._kernels(transformer, CARD) is None
    assert "fused blocks are not to be had on cuda: No module named 'triton'" in caplog.text


def test_a_card_that_triton_does_not_know_is_not_tried(transformer, card, monkeypatch, caplog):
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with caplog.at_level(logging.INFO):
        assert accelerating._kernels(transformer, CARD) is None
    assert not caplog.records


@compiles
def test_blocks_of_pictures_can_be_compiled_anywhere(transformer):
    assert compile_block(transformer)
    blocks = (*transformer.noise_refiner, *transformer.layers)
    assert {type(block.form) for block in blocks} == {CompiledForm}
    assert all(block.form is plain for block in transformer.context_refiner)
    options = Options(compiled=True)
    taken = accelerate(transformer, CPU, torch.float32, is_base=True, options=options)
    assert taken == ("compiled blocks",)


def test_without_a_compiler_blocks_stay_as_they_are(transformer, monkeypatch):
    def missing(*_arguments, **_keywords):
        raise RuntimeError("Windows is not supported")

    monkeypatch.setattr(torch, "compile", missing)
    assert not compile_block(transformer)
    assert all(block.form is plain for block in transformer.layers)


@pytest.mark.gpu
@pytest.mark.parametrize("int8", [False, True], ids=["bf16", "int8"])
def test_a_card_predicts_the_same_with_all_that_it_gets(transformer, int8):
    from engine.quant.products import choose

    generator = torch.Generator().manual_seed(7)
    if int8:
        originals = {name: transformer.get_submodule(name) for name in transformer_layers(2)}
        make_int8(transformer, originals, choose(CARD))
        for name, linear in originals.items():
            transformer.get_submodule(name).fill(quantise_rows(linear.weight.cuda()))
    transformer.to(CARD, torch.bfloat16)
    for module in transformer.modules():
        if hasattr(module, "scales"):
            module.scales = module.scales.float()
    features = torch.randn(1, 9, CONFIG.cap_feat_dim, generator=generator).to(CARD, torch.bfloat16)
    latents = torch.randn(1, 16, 8, 8, generator=generator).to(CARD, torch.bfloat16)

    def predict() -> torch.Tensor:
        with torch.inference_mode():
            context = transformer.arrange([transformer.refine_caption(features)[0]], 8, 8)
            modulation = transformer.modulate(torch.tensor([0.3], device=CARD))
            return transformer(latents, modulation, context).float()

    right = predict()
    assert accelerate(transformer, CARD, torch.bfloat16, is_base=True)
    for _ in range(8):
        found = predict()
        assert (found - right).norm() <= 0.1 * right.norm()
