"""One tiny model in every dialect: each weight reads back as its writer meant it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints.header import read_header
from engine.checkpoints.load import load_text_encoder, load_transformer
from engine.checkpoints.open import open_model
from engine.checkpoints.weights import open_weights
from tests.engine.checkpoints.formats.writers import WRITERS, f32, file_of

FILE = "transformer/diffusion_pytorch_model.safetensors"
ORIGINAL = {
    ".attention.to_out.0.": ".attention.out.", ".attention.norm_q.": ".attention.q_norm.",
    ".attention.norm_k.": ".attention.k_norm.", "all_x_embedder.2-1.": "x_embedder.",
    "all_final_layer.2-1.": "final_layer.",
}  # fmt: skip
"""The names of original files, for those of diffusers."""


def in_original_names(weights):
    """The same weights under the names of original files, which hold q, k and v as one matrix."""
    found = {}
    for name, weight in weights.items():
        for theirs, ours in ORIGINAL.items():
            name = name.replace(theirs, ours)
        found[name] = weight
    for query in [name for name in found if ".attention.to_q." in name]:
        parts = [found.pop(query.replace("to_q", part)) for part in ("to_q", "to_k", "to_v")]
        found[query.replace("to_q", "qkv")] = np.concatenate(parts)
    return {f"model.diffusion_model.{name}": weight for name, weight in found.items()}


def in_diffusers_names(weights):
    return weights


NAMINGS = {"diffusers": in_diffusers_names, "original": in_original_names}


def is_quantised(name, weight, group=64):
    """The matrices of the main layers, as most files have it; formats want whole groups."""
    inside = name.removeprefix("model.").removeprefix("diffusion_model.").startswith("layers.")
    return inside and weight.ndim == 2 and weight.shape[1] % group == 0


@pytest.fixture(scope="module")
def weights(reference_folder):
    return {name: t.double().numpy() for name, t in load_file(reference_folder / FILE).items()}


def write(name, weights, path, group=64):
    """Quantise a model's main layers; return what every weight of the file then means."""
    meaning, written, others = {}, {}, {}
    for key, weight in weights.items():
        if is_quantised(key, weight, group):
            layer = key.removesuffix(".weight")
            written[layer] = WRITERS[name](layer, weight)
            meaning[key] = written[layer].meaning
        else:
            others[key] = f32(weight)
            meaning[key] = weight
    assert len(written) >= 10
    file_of(written, path, others=others)
    return meaning


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", WRITERS)
def test_each_weight_of_a_file_is_what_its_writer_meant(tmp_path, weights, name, naming):
    path = tmp_path / "model.safetensors"
    meaning = write(name, NAMINGS[naming](weights), path)
    with open_weights([read_header(path)]) as source:
        assert source.shapes == {key: weight.shape for key, weight in meaning.items()}
        for key, weight in meaning.items():
            found = source.read(key).double().numpy()
            assert np.abs(found - weight).max() <= 1e-6 * np.abs(weight).max(), key


@pytest.mark.parametrize("name", ["fp8 e4m3", "fp8 e5m2", "mxfp8"])
def test_numbers_that_a_format_holds_exactly_come_back_exactly(tmp_path, weights, name):
    exact = {
        key: WRITERS[name]("a", weight).meaning if is_quantised(key, weight) else weight
        for key, weight in weights.items()
    }
    path = tmp_path / "model.safetensors"
    write(name, exact, path)
    with open_weights([read_header(path)]) as source:
        for key, weight in exact.items():
            assert np.array_equal(source.read(key).double().numpy(), weight), key


def folder_of(reference_folder, folder):
    """A copy of the reference's model without its transformer's weights."""
    shutil.copytree(reference_folder, folder)
    (folder / FILE).unlink()
    return folder


def loaded(load, folder):
    return load(open_model(folder), torch.float32, torch.device("cpu")).state_dict()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, weight in expected.items():
        assert torch.allclose(found[key], weight, rtol=1e-6, atol=1e-6), key


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", WRITERS)
def test_the_network_is_that_of_the_same_numbers_unquantised(
    reference_folder, tmp_path, weights, name, naming
):
    quantised = folder_of(reference_folder, tmp_path / "quantised")
    meaning = write(name, NAMINGS[naming](weights), quantised / FILE)
    plain = folder_of(reference_folder, tmp_path / "plain")
    save_file(
        {key: torch.tensor(w, dtype=torch.float32) for key, w in meaning.items()}, plain / FILE
    )
    assert_same(loaded(load_transformer, quantised), loaded(load_transformer, plain))


@pytest.mark.parametrize(
    "name", ["fp8 e4m3", "old e4m3 []", "comfy e4m3 []", "int8 [N, 1]", "squares 128"]
)
def test_a_text_encoder_is_that_of_the_same_numbers_unquantised(reference_folder, tmp_path, name):
    files = []
    for folder in ("quantised", "plain"):
        copy = shutil.copytree(reference_folder, tmp_path / folder)
        files.append(copy / "text_encoder/model.safetensors")
    weights = {key: t.double().numpy() for key, t in load_file(files[0]).items()}
    meaning = write(name, weights, files[0], group=16)
    save_file({key: torch.tensor(w, dtype=torch.float32) for key, w in meaning.items()}, files[1])
    found, expected = (loaded(load_text_encoder, file.parent.parent) for file in files)
    assert_same(found, expected)
