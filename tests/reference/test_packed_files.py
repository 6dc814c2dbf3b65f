"""A model whose weights are packed paints as the reference does with the weights they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from diffusers import ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model

from engine.jobs.order import Order, Output
from engine.memory.studio import Studio
from engine.request import Request
from engine.run import execute
from tests.engine.checkpoints.formats.gguf_files import (
    diffusers_names,
    llama_name,
    original_names,
    write_gguf,
)
from tests.engine.checkpoints.formats.nunchaku_tiles import random_layer
from tests.engine.inject import Told
from tests.reference.conftest import fill, make_vae, piped, relative
from tests.reference.test_text_to_image import LIMIT, ask, load_file, theirs

TRANSFORMER_FILE = "transformer/diffusion_pytorch_model.safetensors"
ENCODER_FILE = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> ZImagePipeline:
    """A random model wide enough for whole tiles of 128 and blocks of 256."""
    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        dim=384, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=64,
        axes_dims=[32, 32, 32], axes_lens=[1536, 512, 512],
    )  # fmt: skip
    config = Qwen3Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, intermediate_size=96, vocab_size=512, rope_theta=1e6,
    )  # fmt: skip
    vae, encoder = make_vae(), Qwen3Model(config)
    for module, spread in ((transformer, 0.05), (vae, 0.15), (encoder, 0.15)):
        fill(module, spread)
    return piped(transformer, encoder, vae, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def folder(pipeline, tmp_path):
    """The model as the reference saves it."""
    pipeline.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


@pytest.fixture
def weights_are(pipeline):
    """Give the reference other weights until the test ends."""
    parts = (pipeline.transformer, pipeline.text_encoder)
    kept = [{name: w.clone() for name, w in part.state_dict().items()} for part in parts]

    def become(part: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
        part.load_state_dict(weights)

    yield become
    for part, weights in zip(parts, kept, strict=True):
        part.load_state_dict(weights)


def painted(folder, tmp_path, request: dict) -> Tensor:
    request = Request(model=str(folder), device="cpu", precision="fp32", **request)
    latents = tmp_path / "latents.safetensors"
    order = Order(job="x", request=request, output=Output(folder=tmp_path, latents=latents))
    execute(order, Studio(), Told().hooks)
    return load_file(latents)["latents"]


def as_gguf(folder, pipeline, kind: str, become) -> None:
    """Turn transformer and text encoder into GGUF files; the reference gets what they mean."""
    (folder / TRANSFORMER_FILE).unlink()
    (folder / ENCODER_FILE).unlink()

    def kind_of(name: str) -> str:
        # K types get random blocks: few enough of them that the model still answers its prompt.
        return "Q8_0" if kind.endswith("_K") and "feed_forward.w2" not in name else kind

    weights = original_names(pipeline.transformer.state_dict())
    meaning = write_gguf(folder / "transformer/x.gguf", "lumina2", weights, kind_of)
    become(pipeline.transformer, diffusers_names(meaning))
    weights = pipeline.text_encoder.state_dict()
    named = {llama_name(name): weight for name, weight in weights.items()}
    meaning = write_gguf(folder / "text_encoder/x.gguf", "qwen3", named, kind_of)
    become(pipeline.text_encoder, {name: meaning[llama_name(name)] for name in weights})


GGUF_KINDS = (
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
)  # fmt: skip


@pytest.mark.parametrize("kind", GGUF_KINDS)
def test_a_gguf_model_paints_what_its_weights_stand_for(
    kind, folder, pipeline, weights_are, measured, tmp_path
):
    request = ask(guidance_scale=3.0, negative="green")
    before = painted(folder, tmp_path, request)
    as_gguf(folder, pipeline, kind, weights_are)
    after = painted(folder, tmp_path, request)
    measured(after, theirs(pipeline, request), LIMIT)
    if kind == "F32":
        assert torch.equal(after, before)
    else:
        assert relative(after, before) > 2 * LIMIT


@pytest.mark.parametrize("fp4", [False, True], ids=["int4", "fp4"])
def test_a_nunchaku_model_paints_what_its_weights_stand_for(
    fp4, folder, pipeline, weights_are, measured, tmp_path
):
    weights, layers, taken = dict(pipeline.transformer.state_dict()), {}, set()
    for block in ("layers.0.", "layers.1.", "noise_refiner.0.", "context_refiner.0."):
        for layer, parts in (
            ("attention.to_qkv", ("attention.to_q", "attention.to_k", "attention.to_v")),
            ("attention.to_out.0", ("attention.to_out.0",)),
            ("feed_forward.net.0.proj", ("feed_forward.w3", "feed_forward.w1")),
            ("feed_forward.net.2", ("feed_forward.w2",)),
        ):
            names = [f"{block}{part}.weight" for part in parts]
            taken |= {*names}
            rows, columns = sum(len(weights[name]) for name in names), weights[names[0]].shape[1]
            packed, meaning = random_layer(rows, columns, fp4=fp4, seed=len(layers))
            layers |= {f"{block}{layer}.{ending}": t for ending, t in packed.items()}
            weights |= dict(zip(names, meaning.chunk(len(names)), strict=True))
    weights_are(pipeline.transformer, weights)
    plain = {name: weight for name, weight in weights.items() if name not in taken}
    save_file(plain | layers, folder / TRANSFORMER_FILE)
    request = ask(guidance_scale=3.0, negative="green")
    measured(painted(folder, tmp_path, request), theirs(pipeline, request), LIMIT)
