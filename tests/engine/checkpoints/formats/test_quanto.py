"""Files that optimum-quanto itself writes are read as it reads them."""

from __future__ import annotations

import base64
import json

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from optimum.quanto import (
    QTensor,
    freeze,
    qfloat8_e4m3fn,
    qfloat8_e4m3fnuz,
    qfloat8_e5m2,
    qint8,
    quantize,
)
from safetensors.torch import save_file
from transformers import Qwen3Model

from engine.checkpoints.header import read_header
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected

FLOAT8 = (qfloat8_e4m3fn, qfloat8_e5m2, qfloat8_e4m3fnuz)


def quantised(network, path, weights=qint8, exclude=None, metadata=None):
    """Quantise a network with optimum-quanto, save its state, and return what it then computes."""
    quantize(network, weights=weights, exclude=exclude)
    freeze(network)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path, metadata)
    return {
        name: parameter.dequantize() if isinstance(parameter, QTensor) else parameter.detach()
        for name, parameter in network.named_parameters()
    }


def small_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.LayerNorm(16))


def assert_reads(path, expected):
    with open_weights([read_header(path)]) as source:
        assert source.shapes.keys() == expected.keys()
        for name, weight in expected.items():
            assert source.shapes[name] == tuple(weight.shape)
            assert torch.equal(source.read(name), weight.float()), name


@pytest.mark.parametrize("weights", [qint8, *FLOAT8], ids=lambda kind: kind.name)
def test_a_quanto_weight_is_what_quanto_says_it_is(tmp_path, weights):
    path = tmp_path / "quanto.safetensors"
    assert_reads(path, quantised(small_network(), path, weights, exclude="1"))


def test_the_stored_integers_are_kept(tmp_path):
    network, path = small_network(), tmp_path / "quanto.safetensors"
    quantised(network, path, exclude="1")
    with open_weights([read_header(path)]) as source:
        rows = source.read_int8("0.weight")
        assert source.read_int8("0.bias") is None
    assert torch.equal(rows.values, network[0].weight._data)
    assert torch.equal(rows.scales, network[0].weight._scale.flatten())


def test_float8_numbers_are_never_taken_for_integers(tmp_path):
    path = tmp_path / "quanto.safetensors"
    quantised(small_network(), path, qfloat8_e4m3fn, exclude="1")
    with open_weights([read_header(path)]) as source:
        assert source.weights["0.weight"].kind == "fp8 (quanto)"
        assert source.read_int8("0.weight") is None


def wan2gp_metadata(network):
    """Metadata of the kind that Wan2GP writes: which layers are quantised, and how."""
    layers = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Linear)]
    table = {name: {"weights": "qint8", "activations": "none"} for name in layers}
    return {
        "quantization_format": "quanto",
        "quantization_map_base64": base64.b64encode(json.dumps(table).encode()).decode(),
        "config_base64": "not base64 at all {",
    }


@pytest.mark.parametrize("weights", [qint8, qfloat8_e4m3fn], ids=lambda kind: kind.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_whole_transformer_reads_as_quanto_computes_it(
    reference_folder, tmp_path, weights, dtype
):
    network = ZImageTransformer2DModel.from_pretrained(
        reference_folder / "transformer", torch_dtype=dtype
    )
    path, metadata = tmp_path / "transformer.safetensors", wan2gp_metadata(network)
    outside = ["*refiner*", "*embedder*", "all_final_layer*"]
    expected = quantised(network, path, weights, outside, metadata)
    assert_close(path, expected, dtype)
    with open_weights([read_header(path)]) as source:
        kinds = {stored.kind for stored in source.weights.values()}
    assert kinds == {
        "int8 (quanto)" if weights is qint8 else "fp8 (quanto)",
        "f32" if dtype is torch.float32 else "bf16",
    }


def test_a_whole_text_encoder_reads_as_quanto_computes_it(reference_folder, tmp_path):
    network = Qwen3Model.from_pretrained(reference_folder / "text_encoder", dtype=torch.bfloat16)
    path = tmp_path / "text_encoder.safetensors"
    expected = quantised(network, path, metadata=wan2gp_metadata(network))
    assert_close(path, expected, torch.bfloat16)


def assert_close(path, expected, dtype):
    """quanto multiplies in the type of its scales, we in float32: they differ by its rounding."""
    with open_weights([read_header(path)]) as source:
        assert source.shapes.keys() == expected.keys()
        for name, weight in expected.items():
            found = source.read(name)
            assert torch.equal(found.to(dtype), weight), name


def test_values_without_scales_are_refused(tmp_path):
    path = tmp_path / "bare.safetensors"
    save_file({"a.weight._data": torch.zeros(4, 4, dtype=torch.int8)}, path)
    with pytest.raises(FileRejected, match=r"a\.weight.*_scale"), open_weights([read_header(path)]):
        pass


@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 4), (4, 1, 1), (2, 2)], ids=str)
def test_scales_that_are_not_one_a_row_are_refused(tmp_path, shape):
    path = tmp_path / "odd.safetensors"
    values = torch.zeros(4, 4, dtype=torch.int8)
    save_file({"a.weight._data": values, "a.weight._scale": torch.ones(shape)}, path)
    with pytest.raises(FileRejected, match=r"scales F32 \["), open_weights([read_header(path)]):
        pass
