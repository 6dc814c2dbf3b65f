"""What `models info` says comes from headers alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints import tensors
from engine.checkpoints.header import read_header
from engine.checkpoints.info import describe
from tests.engine.checkpoints.test_folder import original_name

ROOT = Path(__file__).resolve().parents[3]


def test_a_folder_is_described_with_variant_size_and_precision(our_folder):
    found = describe(our_folder)
    assert (found.part, found.variant, found.dialect, found.prefix) == (
        "model", "demo-turbo", "diffusers", ""
    )  # fmt: skip
    assert found.precision["transformer/layers"] == "F16"
    assert found.precision["vae/decoder"] == "F16"
    assert found.precision["text_encoder/embed_tokens"] == "F16"
    weights = list(our_folder.rglob("*.safetensors"))
    assert found.size == sum(path.stat().st_size for path in weights)
    assert found.tensors == sum(len(read_header(path).tensors) for path in weights)
    assert found.problems == ()


def test_a_folder_with_the_original_names_in_one_part_says_so(our_folder, tmp_path):
    folder = Path(shutil.copytree(our_folder, tmp_path / "model"))
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    renamed = {original_name(name): weight for name, weight in load_file(path).items()}
    save_file(renamed, path)
    assert describe(folder).dialect == "diffusers, original"


def test_a_single_file_says_which_part_it_is_and_what_is_missing(our_folder):
    found = describe(our_folder / "transformer/diffusion_pytorch_model.safetensors")
    assert (found.part, found.variant) == ("transformer", None)
    assert found.problems == ("It is one part of a model; pictures need the whole model folder.",)


def test_fused_names_prefix_and_mixed_precision_are_told(our_folder, tmp_path):
    source = load_file(our_folder / "transformer/diffusion_pytorch_model.safetensors")
    weights = {
        f"model.diffusion_model.{name.replace('to_q', 'qkv')}": weight
        for name, weight in source.items()
        if not name.endswith(("to_k.weight", "to_v.weight"))
    }
    layer = "model.diffusion_model.layers.0.feed_forward.w1.weight"
    weights[layer] = weights[layer].to(torch.int8)
    save_file(weights, tmp_path / "fused.safetensors")
    found = describe(tmp_path / "fused.safetensors")
    assert (found.dialect, found.prefix) == ("original", "model.diffusion_model.")
    assert found.precision["layers"] == "F16, I8"
    assert found.problems[1] == "Weights stored as I8 are not read yet."


def test_the_description_is_json(our_folder):
    values = json.loads(json.dumps(describe(our_folder).to_json()))
    assert values["variant"] == "demo-turbo"


def test_a_description_needs_no_torch(our_folder):
    code = (
        "import sys; from pathlib import Path; from engine.checkpoints.info import describe; "
        "describe(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(our_folder)], cwd=ROOT).returncode == 0


def test_no_weight_is_read_for_a_description(our_folder, monkeypatch):
    def refuse(*_):
        pytest.fail("a tensor was read")

    monkeypatch.setattr(tensors.TensorFile, "read", refuse)
    describe(our_folder)
