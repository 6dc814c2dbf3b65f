"""The public model is recognised in every form that it is published in, at its true size."""

from __future__ import annotations

import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
import torch

from engine.checkpoints.configs import Declared, text_encoder_config, transformer_config, vae_config
from engine.checkpoints.header import read_header
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, spoken
from engine.checkpoints.look import declared
from engine.checkpoints.open import open_model
from engine.checkpoints.parts import parts_of
from engine.checkpoints.recognise import Role
from engine.model.config import TransformerConfig, VaeConfig
from engine.model.transformer import Transformer
from tests.engine.checkpoints import true_size

ROOT = Path(__file__).resolve().parents[3]
NOTHING = Declared({}, "x")
DIALECTS = {
    "diffusers": ("diffusers", "", true_size.transformer),
    "diffusers, prefix": (
        "diffusers",
        "model.diffusion_model.",
        lambda: true_size.behind("model.diffusion_model.", true_size.transformer()),
    ),
    "original": ("original", "", lambda: true_size.original(true_size.transformer())),
    "original, prefix": (
        "original",
        "model.diffusion_model.",
        lambda: true_size.behind(
            "model.diffusion_model.", true_size.original(true_size.transformer())
        ),
    ),
    "original, short prefix": (
        "original",
        "diffusion_model.",
        lambda: true_size.behind("diffusion_model.", true_size.original(true_size.transformer())),
    ),
}


@pytest.fixture
def written(tmp_path):
    """Write a file, and say which networks it holds."""

    def write(entries, metadata=None):
        path = true_size.write(tmp_path / "x.safetensors", entries, metadata)
        return parts_of([read_header(path)])

    return write


def kinds(part, pieces: tuple[str, ...]) -> set[str]:
    return {w.kind for name, w in part.weights.items() if all(p in name for p in pieces)}


def test_the_names_and_shapes_are_the_public_models():
    shapes = true_size.transformer()
    assert (len(shapes), sum(map(prod, shapes.values()))) == (521, 6_154_908_736)
    assert len(true_size.original(shapes)) == 453
    assert sum(map(prod, true_size.vae().values())) == 83_819_683
    assert len(true_size.vae()) == 244


@pytest.mark.parametrize("form", true_size.FORMS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_transformer_is_recognised_in_every_dialect_and_form(dialect, form, written):
    name, prefix, shapes = DIALECTS[dialect]
    ((role, part),) = written(*true_size.FORMS[form](shapes())).items()
    assert (role, part.dialect, part.prefix) == (Role.TRANSFORMER, name, prefix)
    assert part.shapes == shapes()
    assert transformer_config(part.bare_shapes, NOTHING) == TransformerConfig()
    assert kinds(part, ("layers.7.feed_forward.w1.",)) == {form.split(",")[0]}


@pytest.mark.parametrize("prefix", ["", "model.", "text_encoders.qwen3_4b.transformer.model."])
@pytest.mark.parametrize("form", true_size.FORMS)
def test_a_text_encoder_is_recognised_in_every_form(prefix, form, written):
    names = true_size.text_encoder().items()
    shapes = {prefix + name.removeprefix("model."): shape for name, shape in names}
    ((role, part),) = written(*true_size.FORMS[form](shapes)).items()
    assert (role, part.prefix) == (Role.TEXT_ENCODER, prefix)
    assert part.shapes == shapes
    config = text_encoder_config(part.bare_shapes, NOTHING)
    expected = {name: value for name, value in true_size.QWEN3.items() if name in config}
    assert len(expected) == 7 and expected.items() <= config.items()


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("dialect", ["diffusers", "original"])
def test_an_autoencoder_is_recognised_in_every_dialect(dialect, dtype, prefix, written):
    named = true_size.vae() if dialect == "diffusers" else true_size.original_vae(true_size.vae())
    shapes = true_size.behind(prefix, named)
    ((role, part),) = written(*true_size.plain(dtype)(shapes)).items()
    assert (role, part.dialect, part.prefix) == (Role.VAE, dialect, prefix)
    assert vae_config(part.bare_shapes, NOTHING) == VaeConfig()


@pytest.mark.parametrize("kind", [8, 2, 12])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_transformer_in_gguf_is_recognised(prefix, kind, tmp_path):
    shapes = true_size.behind(prefix, true_size.original(true_size.transformer()))
    for pad in ("x_pad_token", "cap_pad_token"):
        shapes[prefix + pad] = (3840,)
    path = true_size.write_gguf(
        tmp_path / "x.gguf", shapes, kind, {"general.architecture": "lumina2"}
    )
    ((role, part),) = parts_of([read_header(path)]).items()
    assert (role, part.dialect, part.prefix) == (Role.TRANSFORMER, "original", prefix)
    assert transformer_config(part.bare_shapes, NOTHING) == TransformerConfig()


def test_a_qwen3_of_llama_is_recognised_with_what_its_metadata_says(tmp_path):
    shapes = true_size.llama(true_size.text_encoder())
    metadata = {"general.architecture": "qwen3", "qwen3.rope.freq_base": "5000000"}
    path = true_size.write_gguf(tmp_path / "x.gguf", shapes, 8, metadata)
    ((role, part),) = parts_of([read_header(path)]).items()
    assert role is Role.TEXT_ENCODER
    config = text_encoder_config(part.bare_shapes, declared(role, part))
    assert (config["hidden_size"], config["num_hidden_layers"]) == (2560, 36)
    assert config["rope_theta"] == 5e6


@pytest.mark.parametrize("rank", [32, 128, 256])
def test_a_nunchaku_transformer_is_recognised(rank, written):
    ((role, part),) = written(*true_size.nunchaku(true_size.transformer(), rank)).items()
    assert role is Role.TRANSFORMER
    assert part.shapes == true_size.transformer()
    assert transformer_config(part.bare_shapes, NOTHING) == TransformerConfig()


@pytest.mark.parametrize("name", ["diffusers", "original"])
def test_every_weight_of_our_network_is_in_the_file_and_no_other(name):
    diffusers = true_size.transformer()
    shapes = diffusers if name == "diffusers" else true_size.original(diffusers)
    dialect, _ = spoken(shapes, TRANSFORMER_DIALECTS)
    with torch.device("meta"):
        network = Transformer(TransformerConfig())
    assert dialect.name == name
    assert {piece for ours in network.state_dict() for piece in dialect.naming(ours)} == set(shapes)


def all_in_one() -> true_size.Entries:
    parts = (
        ("model.diffusion_model.", true_size.original(true_size.transformer()), "int8 (quanto)"),
        ("text_encoders.qwen3_4b.transformer.", true_size.text_encoder(), "fp8"),
        ("vae.", true_size.original_vae(true_size.vae()), "f32"),
    )
    found: true_size.Entries = {}
    for prefix, shapes, form in parts:
        found |= true_size.FORMS[form](true_size.behind(prefix, shapes))[0]
    return found


def test_an_all_in_one_file_is_a_model_of_the_public_numbers(tmp_path):
    true_size.write(tmp_path / "z_image_turbo.safetensors", all_in_one())
    (tmp_path / "tokenizer.json").write_text('{"vocab": {"a": 151668}}')
    checkpoint = open_model(tmp_path / "z_image_turbo.safetensors")
    assert checkpoint.transformer == TransformerConfig()
    assert checkpoint.vae == VaeConfig()
    assert (checkpoint.variant.name, checkpoint.variant_known) == ("turbo", True)


MEASURED = """
import sys, time
from pathlib import Path
start = time.perf_counter()
from engine.checkpoints.info import describe
print(describe(Path(sys.argv[1])).part, "torch" in sys.modules)
# The peak that the system counts for a process may be that of the one it was forked from.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.perf_counter() - start, int(peak.split()[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's process table")
def test_the_largest_file_is_described_in_seconds_and_in_little_memory(tmp_path):
    path = true_size.write(tmp_path / "z_image_base.safetensors", all_in_one())
    (tmp_path / "tokenizer.json").write_text('{"vocab": {"a": 151668}}')
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    part, figures = done.stdout.splitlines()
    seconds, megabytes = map(float, figures.split())
    assert part == "model False"
    assert seconds < 5 and megabytes < 600, figures
