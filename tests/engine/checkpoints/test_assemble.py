"""Networks are filled one tensor at a time, and only if every name and shape is accounted for."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor, nn

from engine.checkpoints.assemble import Target, fill, split
from engine.checkpoints.keys import Dialect
from engine.errors import FileRejected

PAIRS = Dialect("pairs", "a.weight", lambda name: (name, f"{name}.2"))
TARGET = Target("sketch", torch.bfloat16, torch.device("cpu"))


class Memory:
    """A source that counts how many tensors of the stored type are alive."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights
        self.lent: list[weakref.ref[Tensor]] = []
        self.most_alive = 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(weight.shape) for name, weight in self.weights.items()}

    def read(self, name: str, device: torch.device) -> Tensor:
        lent = self.weights[name].clone()
        self.lent.append(weakref.ref(lent))
        self.most_alive = max(self.most_alive, sum(ref() is not None for ref in self.lent))
        return lent


def empty_network() -> nn.Module:
    with torch.device("meta"):
        return nn.ModuleDict({"a": nn.Linear(2, 4, bias=False), "b": nn.Linear(2, 6, bias=False)})


def weights(prefix: str = "") -> dict[str, Tensor]:
    rows = {"a.weight": 2, "a.weight.2": 2, "b.weight": 3, "b.weight.2": 3}
    return {prefix + name: torch.randn(count, 2) for name, count in rows.items()}


def test_row_blocks_are_joined_in_order_and_cast():
    network, found = empty_network(), weights("model.")
    fill(network, Memory(found), PAIRS, TARGET)
    expected = torch.cat([found["model.a.weight"], found["model.a.weight.2"]]).bfloat16()
    assert torch.equal(network["a"].weight, expected)
    assert not network["a"].weight.requires_grad


def test_at_most_one_tensor_of_the_stored_type_is_in_memory():
    source = Memory(weights())
    fill(empty_network(), source, PAIRS, TARGET)
    assert len(source.lent) == 4
    assert source.most_alive == 1


def test_splitting_undoes_the_joining():
    network, found = empty_network(), weights()
    fill(network, Memory(found), PAIRS, Target("sketch", torch.float32, TARGET.device))
    parts = split("b.weight", network["b"].weight, PAIRS)
    assert parts.keys() == {"b.weight", "b.weight.2"}
    assert all(torch.equal(part, found[name]) for name, part in parts.items())


def test_missing_unexpected_and_misshapen_weights_are_counted_with_examples():
    found = weights()
    del found["b.weight"]
    found |= {f"odd{i}": torch.zeros(1) for i in range(5)}
    found["a.weight.2"] = torch.zeros(2, 9)
    source = Memory(found)
    with pytest.raises(FileRejected) as caught:
        fill(empty_network(), source, PAIRS, TARGET)
    assert "1 missing (b.weight)" in caught.value.message
    assert "5 unexpected (odd0, odd1, odd2, ...)" in caught.value.message
    assert "1 of the wrong shape (a.weight.2 [2, 9] instead of [2, 2])" in caught.value.message
    assert source.lent == []


def test_axes_of_one_do_not_matter():
    found = weights()
    found["a.weight"] = found["a.weight"].reshape(2, 2, 1, 1)
    network = empty_network()
    fill(network, Memory(found), PAIRS, TARGET)
    assert torch.equal(network["a"].weight[:2], found["a.weight"].reshape(2, 2).bfloat16())
