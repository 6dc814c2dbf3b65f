"""What is done part by part is what is done at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.model.footprint import PRODUCT_TOKENS, part_size
from engine.model.parts import tokenwise


@pytest.mark.parametrize("sequences", [1, 2, 3])
@pytest.mark.parametrize("tokens", [32, 128, 1152, 1184, 4224, 16512])
def test_parts_are_even_and_about_as_many_tokens_as_wanted(sequences, tokens):
    size = part_size(sequences, tokens, PRODUCT_TOKENS)
    assert size % 128 == 0
    assert sequences * size <= PRODUCT_TOKENS + (sequences - 1) * 128
    parts = -(-tokens // size)
    assert parts <= -(-sequences * tokens // PRODUCT_TOKENS)


def shifted(x: Tensor, shift: Tensor) -> Tensor:
    """Return as many numbers a token again, of another type."""
    return torch.cat([x, x + shift], dim=-1).double()


@pytest.mark.parametrize("tokens", [100, 128, 300])
def test_the_result_is_that_of_all_tokens_at_once(tokens):
    x, shift = torch.randn(2, tokens, 6), torch.randn(1, tokens, 1)
    sizes: list[int] = []

    def work(*parts: Tensor) -> Tensor:
        sizes.append(parts[0].shape[1])
        return shifted(*parts)

    with torch.inference_mode():
        found = tokenwise(work, x, shift)
    assert torch.equal(found, shifted(x, shift))
    assert sum(sizes) == tokens
    assert (len(sizes) > 1) == (tokens > 128)


def test_the_result_may_take_the_place_of_an_input():
    x = torch.randn(1, 300, 6)
    right = 2 * x
    with torch.inference_mode():
        found = tokenwise(lambda part: 2 * part, x, out=x)
    assert found is x
    assert torch.equal(x, right)


def test_nothing_is_cut_or_overwritten_where_gradients_are_taken():
    x = torch.randn(1, 300, 6, requires_grad=True)
    tokenwise(lambda part: part.square(), x, out=x).sum().backward()
    assert torch.equal(x.grad, 2 * x)
