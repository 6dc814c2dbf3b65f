"""Attention by oneDNN's products against the exact one, and where it hands over."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.model.attention import sdpa
from engine.model.tiled import tiled


def drawn(length: int, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, Tensor, Tensor]:
    """Draw queries, keys and values of two sequences, as strided as a block has them."""
    generator = torch.Generator().manual_seed(length)
    q, k, v = torch.randn(2, length, 3, 3, 128, generator=generator).to(dtype).unbind(2)
    return 3 * q, k, v


def off(found: Tensor, right: Tensor) -> float:
    return ((found.double() - right).norm() / right.norm()).item()


@pytest.mark.parametrize("length", [37, 600, 700])
@torch.inference_mode()
def test_it_is_nearer_to_the_exact_attention_than_pytorchs_own(length, record_property):
    inputs = drawn(length)
    right = sdpa(*(part.double() for part in inputs))
    found = tiled(*inputs)
    assert found.dtype is torch.bfloat16
    errors = off(found, right), off(sdpa(*inputs), right)
    record_property("relative errors, tiled and own", errors)
    assert errors[0] <= 1.05 * errors[1]


@torch.inference_mode()
def test_other_types_are_pytorchs_own():
    inputs = drawn(40, torch.float32)
    assert torch.equal(tiled(*inputs), sdpa(*inputs))


def test_gradients_flow_through_pytorchs_own():
    inputs = [part.requires_grad_() for part in drawn(8)]
    tiled(*inputs).sum().backward()
    assert all(part.grad is not None for part in inputs)
