"""All products by int8 weights agree, and one that computes wrongly is not taken."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from engine.quant import products
from engine.quant.products import WEIGHT_ONLY, Integer, Packed, choose
from engine.quant.rows import quantise_rows

CPU = torch.device("cpu")
SHAPES = [(170, 36), (64, 512), (8, 8), (1, 7)]


def whole_tokens(count: int, width: int) -> torch.Tensor:
    """Tokens of whole numbers, each with the largest one, so that rounding leaves them alone."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(-127, 128, (count, width), generator=generator).float()
    tokens[:, 0] = 127
    return tokens


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tokens", [1, 17, 1100])
@pytest.mark.parametrize("product", [Packed(), Integer()])
def test_a_product_of_whole_numbers_is_exact(product, tokens, shape):
    rows = quantise_rows(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    x = whole_tokens(tokens, shape[1])
    prepared = product.prepare(rows.values)
    found = product.multiply(x, prepared, rows.scales)
    expected = x.double() @ (rows.values.double() * rows.scales.double()[:, None]).t()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-3)
    assert torch.equal(product.restore(prepared, shape), rows.values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("product", [Packed(), Integer(), WEIGHT_ONLY])
def test_a_product_keeps_the_number_type_of_the_tokens(product, dtype):
    rows = quantise_rows(torch.randn(16, 32))
    x = torch.randn(5, 32, dtype=dtype)
    found = product.multiply(x, product.prepare(rows.values), rows.scales)
    assert found.dtype is dtype


def test_weight_only_rounds_nothing_but_the_weights():
    generator = torch.Generator().manual_seed(0)
    rows = quantise_rows(torch.randn(16, 32, generator=generator))
    x = torch.randn(5, 32, generator=generator)
    expected = x.double() @ (rows.values.double() * rows.scales.double()[:, None]).t()
    found = WEIGHT_ONLY.multiply(x, WEIGHT_ONLY.prepare(rows.values), rows.scales)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_made_floating_point_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(products, "_NUMBERS_AT_ONCE", 5 * 32)
    test_weight_only_rounds_nothing_but_the_weights()


@pytest.mark.parametrize("product", [Packed(), Integer()])
def test_a_token_that_is_not_finite_does_not_look_finite_afterwards(product):
    rows = quantise_rows(torch.randn(16, 32))
    x = torch.randn(3, 32)
    x[1, 2] = float("nan")
    found = product.multiply(x, product.prepare(rows.values), rows.scales)
    assert found.isfinite().all(dim=1).tolist() == [True, False, True]


class Saturating(Integer):
    """A processor of old, which adds neighbouring products in 16 bits."""

    def multiply(self, x, prepared, scales):
        return super().multiply(x, prepared, scales).clamp(max=32767.0 * 200)


class Missing(Integer):
    def prepare(self, values):
        raise RuntimeError("not built for this processor")


@pytest.mark.parametrize("faulty", [Saturating(), Missing()])
def test_a_product_that_fails_its_trial_is_not_taken(faulty, monkeypatch):
    fallback = Integer()
    monkeypatch.setattr(products, "_candidates", lambda _: (faulty, fallback))
    assert choose(CPU) is fallback
    monkeypatch.setattr(products, "_candidates", lambda _: (faulty,))
    assert choose(CPU) is WEIGHT_ONLY


def test_an_error_of_a_type_of_its_own_leaves_a_product_out():
    class Unlaunchable(Integer):
        def multiply(self, x, prepared, scales):
            # Triton's errors are no RuntimeErrors.
            raise KeyError("out of resource: shared memory")

    assert not products._computes_right(Unlaunchable(), CPU)


def test_a_full_card_does_not_leave_a_product_out():
    class Full(Integer):
        def multiply(self, x, prepared, scales):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        products._computes_right(Full(), CPU)


@pytest.mark.parametrize(
    ("capability", "hip", "has_triton"),
    [((7, 5), None, False), ((8, 0), None, True), ((9, 0), None, True), ((7, 5), "6.4", True)],
)
def test_triton_is_tried_only_on_cards_that_it_knows(monkeypatch, capability, hip, has_triton):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert products.has_triton(torch.device("cuda")) is has_triton
    if not has_triton:
        (only,) = products._candidates(torch.device("cuda"))
        assert isinstance(only, Integer)
    assert not products.has_triton(CPU)


def test_a_device_without_integer_products_computes_exactly():
    assert choose(torch.device("meta")) is WEIGHT_ONLY


@pytest.mark.parametrize("product", [Packed(), Integer()])
def test_tokens_are_rounded_to_the_nearest_step(product):
    rows = quantise_rows(torch.eye(16))
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    found = product.multiply(x, product.prepare(rows.values), rows.scales)
    step = x.abs().amax(dim=1, keepdim=True) / 127
    assert ((found - x).abs() <= 0.501 * step).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_streams_and_what_stays_compute_the_same_on_the_cpu(dtype):
    generator = torch.Generator().manual_seed(0)
    rows = quantise_rows(torch.randn(96, 256, generator=generator))
    x = torch.randn(300, 256, generator=generator).to(dtype)
    movable = choose(CPU, movable=True)
    assert movable.prepare(rows.values).layout is torch.strided
    found = [
        one.multiply(x, one.prepare(rows.values), rows.scales) for one in (movable, choose(CPU))
    ]
    assert torch.equal(*found)


def test_every_product_has_a_name():
    names = [products.product_name(one) for one in (*products.working(CPU), WEIGHT_ONLY)]
    assert names == ["oneDNN int8", "PyTorch int8", "weights only"]


def test_matrices_for_cards_have_sides_that_are_multiples_of_eight():
    assert Integer().prepare(torch.zeros(170, 36, dtype=torch.int8)).shape == (176, 40)


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 17, 1100])
def test_every_product_is_right_on_a_card(tokens):
    card = torch.device("cuda")
    for product in products._candidates(card):
        rows = quantise_rows(torch.randn(512, 256, device=card))
        x = whole_tokens(tokens, 256)
        found = product.multiply(x.to(card), product.prepare(rows.values), rows.scales).cpu()
        dense = rows.values.cpu().double() * rows.scales.cpu().double()[:, None]
        torch.testing.assert_close(found.double(), x.double() @ dense.t(), rtol=1e-5, atol=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_the_fused_kernels_are_right_in_the_interpreter():
    """Triton decides when it is imported whether it interprets, so in a process of its own."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERPRETED], env=environment, check=False
    )
    assert done.returncode == 0


INTERPRETED = """
import torch
from engine.quant.products import Integer, _computes_right
from engine.quant.rows import quantise_rows
from engine.quant.triton_kernels import fused
device = torch.device("cpu")
product, plain = fused(device), Integer()
assert _computes_right(product, device)
for tokens, rows, columns in ((5, 170, 36), (130, 260, 192)):
    weight, x = quantise_rows(torch.randn(rows, columns)), torch.randn(tokens, columns)
    found = product.multiply(x, product.prepare(weight.values), weight.scales)
    expected = plain.multiply(x, plain.prepare(weight.values), weight.scales)
    assert (found - expected).norm() <= 1e-3 * expected.norm()
x[1, 2] = float("nan")
found = product.multiply(x, product.prepare(weight.values), weight.scales)
assert found.isfinite().all(dim=1).tolist()[:3] == [True, False, True]
"""
