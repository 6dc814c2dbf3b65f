"""GGUF files written by the format's own package are read as weights of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import ZImageTransformer2DModel
from gguf import GGMLQuantizationType, GGUFWriter
from transformers import Qwen3Config, Qwen3Model

from engine.checkpoints.assemble import Target, fill
from engine.checkpoints.header import read_header
from engine.checkpoints.keys import TRANSFORMER_DIALECTS, spoken, text_encoder_dialect
from engine.checkpoints.weights import open_weights
from engine.errors import FileRejected
from engine.model.text_encoder import TextEncoder
from tests.engine.checkpoints.formats.gguf_files import (
    llama_name,
    original_names,
    random_blocks,
    write_gguf,
)

KINDS = ("Q8_0", "Q4_0", "Q5_1", "Q4_1", "Q5_0", "BF16", "F16", "Q4_K", "Q6_K")
ENCODER = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "intermediate_size": 96, "vocab_size": 300, "rope_theta": 500_000.0,
}  # fmt: skip


def mixed(name: str) -> str:
    """One of `KINDS`, by the name of a weight."""
    return KINDS[sum(name.encode()) % len(KINDS)]


@pytest.fixture(scope="module")
def transformer():
    """A transformer's weights; the feed-forward width is 1,024, so rows hold whole blocks."""
    torch.manual_seed(3)
    model = ZImageTransformer2DModel(
        dim=384, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=64,
        axes_dims=[32, 32, 32], axes_lens=[1536, 512, 512],
    )  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.state_dict()


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_each_weight_of_a_transformer_is_what_the_package_unpacks(prefix, transformer, tmp_path):
    path = tmp_path / "z-image.gguf"
    weights = {prefix + name: weight for name, weight in original_names(transformer).items()}
    meaning = write_gguf(path, "lumina2", weights, mixed)
    with open_weights([read_header(path)]) as source:
        assert {stored.kind for stored in source.weights.values()} >= {"Q8_0", "Q4_K", "bf16"}
        assert spoken(source.shapes, TRANSFORMER_DIALECTS)[1] == prefix
        assert source.weights.keys() == meaning.keys()
        for name, weight in meaning.items():
            assert torch.equal(source.read(name).float(), weight), name


def test_a_qwen3_in_the_names_of_llama_cpp_comes_back_under_the_librarys(tmp_path):
    torch.manual_seed(4)
    weights = Qwen3Model(Qwen3Config(**ENCODER)).state_dict()
    path = tmp_path / "qwen3.gguf"
    named = {llama_name(name): weight for name, weight in weights.items()}
    meaning = write_gguf(path, "qwen3", named, mixed)
    with torch.device("meta"):
        encoder = TextEncoder(ENCODER)
    with open_weights([read_header(path)]) as source:
        target = Target("text encoder", torch.float32, torch.device("cpu"))
        fill(encoder, source, text_encoder_dialect(3), target)
    state = encoder.state_dict()
    assert len(state) > 20
    for name, weight in state.items():
        assert torch.equal(weight, meaning[llama_name(name.removeprefix("model."))]), name


def test_the_kind_of_a_weight_is_what_people_call_it(tmp_path):
    path = tmp_path / "x.gguf"
    kinds = {"a.weight": "Q4_0", "b.weight": "BF16"}
    write_gguf(path, "lumina2", {name: torch.ones(2, 32) for name in kinds}, kinds.__getitem__)
    with open_weights([read_header(path)]) as source:
        found = {name: weight.kind for name, weight in source.weights.items()}
        assert source.read_int8("a.weight") is None
    assert found == {"a.weight": "Q4_0", "b.weight": "bf16"}


def test_a_language_model_that_names_a_weight_in_two_ways_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    names = ("token_embd.weight", "model.embed_tokens.weight")
    write_gguf(path, "qwen3", {name: torch.ones(2, 32) for name in names}, lambda _: "Q8_0")
    with pytest.raises(FileRejected, match="twice"), open_weights([read_header(path)]):
        pass


def test_scales_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "x.gguf"
    blocks = random_blocks((1, 256), GGMLQuantizationType.Q4_K)
    blocks[:, :2] = 255
    writer = GGUFWriter(path, "lumina2")
    writer.add_tensor("a.weight", np.tile(blocks, (2, 1)), raw_dtype=GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with (
        open_weights([read_header(path)]) as source,
        pytest.raises(FileRejected, match=r"a\.weight.*not finite"),
    ):
        source.read("a.weight")
