"""Files that optimum-quanto itself writes are read as it reads them."""

from __future__ import annotations

import pytest
import torch
from optimum.quanto import freeze, qint8, quantize
from safetensors.torch import save_file

from engine.checkpoints.header import read_header
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected


@pytest.fixture
def quantised(tmp_path):
    """A small network quantised by optimum-quanto, and the file of its state."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.LayerNorm(16))
    quantize(network, weights=qint8, exclude="1")
    freeze(network)
    path = tmp_path / "quanto.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    return network, path


def test_a_quanto_weight_is_what_quanto_says_it_is(quantised):
    network, path = quantised
    with open_weights([read_header(path)]) as source:
        weight = source.read("0.weight")
        assert set(source.shapes) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert torch.equal(weight, network[0].weight.dequantize())


def test_the_stored_integers_are_kept(quantised):
    network, path = quantised
    with open_weights([read_header(path)]) as source:
        rows = source.read_int8("0.weight")
        assert source.read_int8("0.bias") is None
    assert torch.equal(rows.values, network[0].weight._data)
    assert torch.equal(rows.scales, network[0].weight._scale.flatten())


def test_values_without_scales_are_refused(tmp_path):
    path = tmp_path / "bare.safetensors"
    save_file({"a.weight._data": torch.zeros(4, 4, dtype=torch.int8)}, path)
    with pytest.raises(FileRejected, match=r"a\.weight.*scale"), open_weights([read_header(path)]):
        pass
