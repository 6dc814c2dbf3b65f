"""Weights that independent writers quantised mean to us what they meant to the writers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.checkpoints.header import read_header
from engine.checkpoints.weights import open_weights
from tests.engine.checkpoints.formats.writers import IN_NAMES_ALONE, WRITERS, file_of, save

SHAPES = ((64, 64), (130, 320), (256, 128))
KINDS = {
    "fp8": "fp8", "old": "fp8 (scaled)", "comfy": "fp8 (scaled)", "int8": "int8 (ComfyUI)",
    "convrot": "int8 (ConvRot)", "nvfp4": "nvfp4", "mxfp8": "mxfp8", "squares": "fp8 (squares)",
    "squares 32 int8": "int8 (squares)",
}  # fmt: skip


def matrix(rows: int, columns: int) -> np.ndarray:
    """Random numbers with a few large ones, as weights have them."""
    random = np.random.default_rng(rows + columns)
    weight = random.normal(size=(rows, columns)) * 0.02
    weight[random.random(weight.shape) < 0.01] *= 20
    return weight


def read(path):
    with open_weights([read_header(path)]) as source:
        return {name: source.read(name).double().numpy() for name in source.shapes}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", WRITERS)
def test_a_weight_is_what_its_writer_meant(tmp_path, name, shape):
    written = WRITERS[name]("a.b", weight := matrix(*shape))
    found = read(file_of({"a.b": written}, tmp_path / "file.safetensors"))
    assert found.keys() == {"a.b.weight"}
    assert found["a.b.weight"].shape == shape
    size = np.abs(weight).max()
    assert np.abs(found["a.b.weight"] - written.meaning).max() <= 1e-6 * size
    assert (np.abs(found["a.b.weight"] - weight) <= written.bound + 1e-6 * size).all()


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - IN_NAMES_ALONE))
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_options_in_the_metadata_say_the_same_as_options_in_tensors(tmp_path, name, prefix):
    layer = f"{prefix}a.b"
    written = WRITERS[name](layer, matrix(64, 64))
    for listed in (layer, "a.b"):
        table = json.dumps({"format_version": "1.0", "layers": {listed: written.metadata}})
        path = tmp_path / "file.safetensors"
        save(path, written.tensors, {"_quantization_metadata": table})
        assert np.abs(read(path)[f"{layer}.weight"] - written.meaning).max() <= 1e-6


@pytest.mark.parametrize("name", WRITERS)
def test_the_kind_and_the_whole_integers_are_told_before_anything_is_read(tmp_path, name):
    written = WRITERS[name]("a", matrix(64, 64))
    path = file_of({"a": written}, tmp_path / "file.safetensors")
    with open_weights([read_header(path)]) as source:
        stored = source.weights["a.weight"]
        rows = source.read_int8("a.weight")
    assert stored.kind == KINDS.get(name, KINDS[name.split()[0]])
    assert stored.keeps_int8 == name.startswith(("int8", "convrot"))
    assert (rows is not None) == stored.keeps_int8
    if rows is not None:
        assert np.array_equal(rows.values.numpy(), written.tensors["a.weight"].numbers)
        scales = np.broadcast_to(written.tensors["a.weight_scale"].numbers.reshape(-1), 64)
        assert np.array_equal(rows.scales.numpy(), scales)
        assert rows.group == (int(name.split()[1]) if name.startswith("convrot") else 1)
