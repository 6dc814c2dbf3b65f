"""A model loads as int8: what is stored so stays so, the rest of the recipe is rounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from optimum.quanto import freeze, qint8, quantize
from safetensors.torch import load_file, save_file
from torch import nn

from engine.checkpoints.load import load_text_encoder, load_transformer
from engine.checkpoints.open import open_model
from engine.checkpoints.unpack.rows import regular_hadamard
from engine.errors import FileRejected
from engine.quant.linear import Int8Linear
from engine.quant.products import WEIGHT_ONLY
from engine.quant.recipe import Form
from engine.quant.rows import quantise_rows

CPU = torch.device("cpu")
OPTIONS = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 64}
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(reference_folder, tmp_path) -> Path:
    """A copy of the reference's model, to be changed; what does not change is linked."""
    for file in reference_folder.rglob("*.*"):
        place = tmp_path / file.relative_to(reference_folder)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(file)
    return tmp_path


def rewrite(
    path: Path, weights: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    path.unlink()
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path, metadata)


def int8_layers(network: nn.Module) -> dict[str, Int8Linear]:
    return {n: layer for n, layer in network.named_modules() if isinstance(layer, Int8Linear)}


def test_the_layers_of_the_recipe_are_rounded_row_by_row(reference_folder):
    stored = load_file(reference_folder / WEIGHTS)
    loaded = load_transformer(open_model(reference_folder), torch.bfloat16, CPU, form=Form.INT8)
    layers = int8_layers(loaded)
    assert len(layers) == 3 * 4
    qkv = torch.cat([stored[f"layers.1.attention.to_{part}.weight"] for part in "qkv"])
    expected = quantise_rows(qkv)
    assert torch.equal(layers["layers.1.attention.qkv"].weight, expected.values)
    assert torch.equal(layers["layers.1.attention.qkv"].scales, expected.scales)
    assert loaded.x_embedder.weight.dtype is torch.bfloat16


@torch.inference_mode()
def test_an_int8_model_is_near_the_exact_one(reference_folder):
    checkpoint = open_model(reference_folder)
    exact = load_transformer(checkpoint, torch.float32, CPU)
    rounded = load_transformer(checkpoint, torch.float32, CPU, form=Form.INT8)
    features = torch.randn(1, 7, 48, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    outputs = []
    for network in (exact, rounded):
        context = network.arrange([network.refine_caption(features)[0]], 8, 8)
        outputs.append(network(latents, network.modulate(torch.tensor([0.3])), context))
    assert 0 < (outputs[1] - outputs[0]).norm() / outputs[0].norm() < 0.05


@torch.inference_mode()
def test_the_text_encoder_becomes_int8_too(reference_folder):
    checkpoint = open_model(reference_folder)
    exact = load_text_encoder(checkpoint, torch.float32, CPU)
    rounded = load_text_encoder(checkpoint, torch.float32, CPU, form=Form.INT8)
    assert len(int8_layers(rounded)) == 2 * 7
    tokens = torch.arange(9).unsqueeze(0)
    right, found = exact(tokens), rounded(tokens)
    assert 0 < (found - right).norm() / right.norm() < 0.05


def test_integers_that_quanto_stored_are_kept_bit_for_bit(folder, pipeline):
    """Published files also hold the modulation so, beyond the recipe: it is computed exactly."""
    theirs = type(pipeline.transformer).from_config(pipeline.transformer.config)
    theirs.load_state_dict(pipeline.transformer.state_dict())
    quantize(theirs.to(torch.bfloat16), weights=qint8, include="layers.*")
    freeze(theirs)
    stored = {name: weight for name, weight in theirs.state_dict().items()}
    rewrite(folder / WEIGHTS, stored)
    loaded = load_transformer(open_model(folder), torch.bfloat16, CPU, form=Form.INT8)
    layers = int8_layers(loaded)
    w13, modulation = layers["layers.2.feed_forward.w13"], layers["layers.0.modulation"]
    data = [stored[f"layers.2.feed_forward.w{n}.weight._data"] for n in (1, 3)]
    scales = [stored[f"layers.2.feed_forward.w{n}.weight._scale"] for n in (1, 3)]
    assert torch.equal(w13.weight, torch.cat(data))
    assert torch.equal(w13.scales, torch.cat(scales).flatten().float())
    assert w13.product is not WEIGHT_ONLY
    assert modulation.product is WEIGHT_ONLY
    assert torch.equal(modulation.bias, stored["layers.0.adaLN_modulation.0.bias"])


@pytest.mark.parametrize("name", ["layers.0.feed_forward.w2.weight", "all_x_embedder.2-1.weight"])
@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(folder, name, int8, bad):
    stored = load_file(folder / WEIGHTS)
    stored[name][3, 5] = bad
    rewrite(folder / WEIGHTS, stored)
    with pytest.raises(FileRejected, match=name.replace(".", r"\.")):
        load_transformer(
            open_model(folder), torch.float32, CPU, form=Form.INT8 if int8 else Form.PLAIN
        )


def test_a_weight_too_large_for_float16_is_refused(folder):
    stored = load_file(folder / WEIGHTS)
    stored["layers.0.feed_forward.w2.weight"][3, 5] = 1e6
    rewrite(folder / WEIGHTS, stored)
    with pytest.raises(FileRejected, match="too large for float16"):
        load_transformer(open_model(folder), torch.float16, CPU)


@torch.inference_mode()
def test_integers_with_turned_columns_are_kept_and_their_tokens_turned(folder):
    stored = load_file(folder / WEIGHTS)
    changed, metadata = {}, {}
    turn = regular_hadamard(64, CPU)
    for name, weight in stored.items():
        module = name.removesuffix(".weight")
        if "layers." in name and ".feed_forward.w" in name and weight.shape[1] == 64:
            rows = quantise_rows(weight @ turn)
            changed |= {name: rows.values, f"{module}.weight_scale": rows.scales}
            metadata[module] = OPTIONS
        else:
            changed[name] = weight
    layers = {"format_version": "1.0", "layers": metadata}
    rewrite(folder / WEIGHTS, changed, {"_quantization_metadata": json.dumps(layers)})
    checkpoint = open_model(folder)
    loaded = load_transformer(checkpoint, torch.float32, CPU, form=Form.INT8)
    exact = load_transformer(checkpoint, torch.float32, CPU)
    w13, plain = loaded.layers[0].feed_forward.w13, exact.layers[0].feed_forward.w13
    assert torch.equal(w13.weight[:170], changed["layers.0.feed_forward.w1.weight"])
    torch.testing.assert_close(w13.dequantised(slice(170, 200)), plain.weight[170:200])
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    assert (w13(x) - plain(x)).norm() / plain(x).norm() < 0.02
    assert loaded.layers[0].attention.qkv.turn is None


def test_row_blocks_that_are_not_all_turned_are_rounded_anew(folder):
    stored = load_file(folder / WEIGHTS)
    name = "layers.0.feed_forward.w1"
    rows = quantise_rows(stored[f"{name}.weight"] @ regular_hadamard(64, CPU))
    changed = {**stored, f"{name}.weight": rows.values, f"{name}.weight_scale": rows.scales}
    layers = {"format_version": "1.0", "layers": {name: OPTIONS}}
    rewrite(folder / WEIGHTS, changed, {"_quantization_metadata": json.dumps(layers)})
    w13 = (
        load_transformer(open_model(folder), torch.float32, CPU, form=Form.INT8)
        .layers[0]
        .feed_forward.w13
    )
    assert w13.turn is None
    right = torch.cat([stored[f"layers.0.feed_forward.w{n}.weight"] for n in (1, 3)])
    assert (w13.dequantised(slice(None)) - right).norm() / right.norm() < 0.02
