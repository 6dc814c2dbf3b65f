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
from engine.checkpoints.load import load_transformer
from engine.checkpoints.open import Hints, open_model
from engine.errors import FileRejected
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.test_folder import original_name

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def source(tokenizer_folder, tmp_path_factory) -> Path:
    return layouts.save_public(tmp_path_factory.mktemp("public"), tokenizer_folder)


def test_a_folder_is_described_with_variant_size_and_precision(our_folder):
    found = describe(our_folder)
    assert (found.part, found.variant, found.dialect, found.prefix) == (
        "model", "demo-turbo", "diffusers", ""
    )  # fmt: skip
    assert found.precision["transformer/layers"] == "f16"
    assert found.precision["vae/decoder"] == "f16"
    assert found.precision["text_encoder/embed_tokens"] == "f16"
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


def test_a_file_of_a_folder_is_described_alone(our_folder):
    found = describe(our_folder / "transformer/diffusion_pytorch_model.safetensors")
    assert (found.part, found.variant, found.problems) == ("transformer", "demo-turbo", ())
    assert found.precision.keys() >= {"layers", "noise_refiner", "cap_embedder"}


@pytest.mark.parametrize(("part", "name"), [("vae", "vae"), ("text_encoder", "text encoder")])
def test_a_part_says_what_it_is_and_that_it_paints_nothing_alone(part, name, our_folder):
    (path,) = (our_folder / part).glob("*.safetensors")
    found = describe(path)
    assert (found.part, found.variant) == (name, None)
    assert found.problems == ("It is one part of a model; pictures need a transformer too.",)


def test_a_transformer_alone_says_what_it_lacks(our_folder, tmp_path):
    path = tmp_path / "deep/down/here/x.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copy(our_folder / "transformer/diffusion_pytorch_model.safetensors", path)
    (problem,) = describe(path).problems
    assert "without text encoder, autoencoder, tokenizer" in problem
    assert "models download turbo" in problem


def test_an_all_in_one_file_is_a_model_of_three_prefixes(source, tmp_path):
    found = describe(layouts.as_all_in_one(source, tmp_path))
    assert (found.part, found.variant, found.problems) == ("model", None, ())
    assert found.prefix == ", ".join(layouts.AIO_PREFIXES)
    assert found.dialect == "diffusers, original"
    assert found.precision["transformer/layers"] == "f16"
    assert found.precision["text_encoder/embed_tokens"] == "f16"


def test_loose_parts_are_one_model(source, tmp_path):
    found = describe(layouts.as_loose_parts(source, tmp_path))
    assert (found.part, found.problems) == ("model", ())
    assert found.tensors > len(load_file(tmp_path / "downloads/one.safetensors"))


def test_fused_names_prefix_and_mixed_precision_are_told(source, tmp_path):
    def mixed(weights: layouts.Weights) -> layouts.Weights:
        name = "layers.0.feed_forward.w1.weight"
        return layouts.fused(weights) | {name: weights[name].to(torch.float8_e4m3fn)}

    found = describe(layouts.as_single_file("model.diffusion_model.", mixed)(source, tmp_path))
    assert (found.dialect, found.prefix) == ("original", "model.diffusion_model.")
    assert found.precision["layers"] == "f16, fp8"
    assert found.precision["noise_refiner"] == "f16"


def test_an_omni_transformer_is_said_to_be_one(source, tmp_path):
    def omni(weights: layouts.Weights) -> layouts.Weights:
        return weights | {"siglip_embedder.1.weight": torch.ones(64, 24)}

    found = describe(layouts.as_single_file("", omni)(source, tmp_path))
    assert (found.part, found.variant) == ("transformer", "omni-base")
    assert "vision encoder" in found.problems[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"layers.1.attention.to_k.weight": None},
         "1 missing (layers.1.attention.to_k.weight)"),
        ({"stray.weight": torch.ones(3)}, "1 unexpected (stray.weight)"),
        ({"layers.1.attention.to_k.weight": torch.ones(3, 4)},
         "1 of the wrong shape (layers.1.attention.to_k.weight [3, 4] instead of [64, 64])"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named_as_they_are_when_it_is_loaded(
    changed, words, source, tmp_path
):
    def change(weights: layouts.Weights) -> layouts.Weights:
        return {n: w for n, w in {**weights, **changed}.items() if w is not None}

    path = layouts.as_single_file("", change)(source, tmp_path)
    (problem,) = describe(path).problems
    assert words in problem
    with pytest.raises(FileRejected) as caught:
        load_transformer(open_model(path), torch.float32, torch.device("cpu"))
    assert problem == str(caught.value)


@pytest.mark.parametrize(
    ("part", "what"), [("vae", "autoencoder"), ("text_encoder", "text encoder")]
)
def test_every_network_of_a_folder_is_accounted_for(part, what, source, tmp_path):
    model = layouts.as_folder(source, tmp_path)
    (path,) = (model / part).glob("*.safetensors")
    save_file(load_file(path) | {"stray.weight": torch.ones(3)}, path)
    (problem,) = describe(model).problems
    assert f"The {what} does not fit its configuration: 1 unexpected (stray.weight)" in problem


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_no_layout_of_a_whole_model_has_problems(layout, source, tmp_path):
    assert describe(layouts.LAYOUTS[layout](source, tmp_path)).problems == ()


def test_a_name_or_an_answer_tells_the_variant(source, tmp_path):
    path = layouts.LAYOUTS["original names"](source, tmp_path)
    assert describe(path).variant is None
    assert describe(path, Hints(variant="base")).variant == "base"
    assert describe(path.rename(tmp_path / "z_image_turbo.safetensors")).variant == "turbo"


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
