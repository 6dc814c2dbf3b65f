"""A model folder is understood from its headers and configurations, or refused with the reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from engine.checkpoints.header import read_header
from engine.checkpoints.load import load_text_encoder, load_transformer, load_vae
from engine.checkpoints.open import open_model
from engine.errors import FileRejected, NotFound, UserError

CPU = torch.device("cpu")
TRANSFORMER_WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
VAE_WEIGHTS = "vae/diffusion_pytorch_model.safetensors"
TEXT_WEIGHTS = "text_encoder/model.safetensors"


@pytest.fixture
def folder(reference_folder, tmp_path) -> Path:
    """A copy of the reference's model that a test may spoil."""
    return Path(shutil.copytree(reference_folder, tmp_path / "model"))


def change_config(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(values))


def change_weights(path: Path, change) -> None:
    weights = load_file(path)
    save_file(change(weights), path)


def same(found: torch.nn.Module, expected: torch.nn.Module) -> bool:
    ours, theirs = found.state_dict(), expected.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def refusal(folder: Path) -> str:
    with pytest.raises(FileRejected) as caught:
        load_everything(folder)
    return str(caught.value)


def load_everything(folder: Path):
    checkpoint = open_model(folder)
    return [load(checkpoint, torch.float32, CPU) for load in (load_transformer, load_vae)] + [
        load_text_encoder(checkpoint, torch.float32, CPU)
    ]


def test_the_architecture_is_read_from_the_folder(reference_folder):
    checkpoint = open_model(reference_folder)
    assert (checkpoint.transformer.dim, checkpoint.transformer.n_layers) == (64, 3)
    assert checkpoint.transformer.axes_dims == (8, 12, 12)
    assert checkpoint.vae.block_out_channels == (8, 16, 32, 32)
    assert (checkpoint.vae.scaling_factor, checkpoint.vae.shift_factor) == (0.7, 0.1)
    assert checkpoint.text_encoder["rope_theta"] == 500_000.0
    assert checkpoint.shift == 6.0
    weights = reference_folder.rglob("*.safetensors")
    assert checkpoint.size == sum(path.stat().st_size for path in weights)


def test_the_schedule_tells_base_from_turbo(folder):
    assert open_model(folder).variant.name == "base"
    change_config(folder / "scheduler/scheduler_config.json", shift=3.0)
    assert open_model(folder).variant.name == "turbo"


def test_models_of_the_same_shapes_have_different_digests(folder, reference_folder):
    before = open_model(reference_folder)
    path = folder / TRANSFORMER_WEIGHTS
    weights = min(tensor.start for tensor in read_header(path).tensors.values())
    header = path.read_bytes()[:weights]
    path.write_bytes(header + os.urandom(path.stat().st_size - weights))
    after = open_model(folder)
    assert before.digest != after.digest
    assert before.parts.text_encoder.digest == after.parts.text_encoder.digest


def test_a_model_has_the_same_digest_wherever_it_lies(folder, reference_folder):
    assert open_model(folder).digest == open_model(reference_folder).digest


def test_weights_in_several_files_are_one_network(pipeline, folder, reference_folder):
    shutil.rmtree(folder / "transformer")
    pipeline.transformer.save_pretrained(folder / "transformer", max_shard_size="150KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 2
    whole = load_transformer(open_model(reference_folder), torch.float32, CPU)
    assert same(load_transformer(open_model(folder), torch.float32, CPU), whole)


def test_an_index_must_not_lead_out_of_its_folder(pipeline, folder):
    pipeline.transformer.save_pretrained(folder / "transformer", max_shard_size="150KB")
    index = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    for name in ("../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", 7, "x.bin"):
        change_config(index, weight_map={"cap_pad_token": name})
        assert "names the file" in refusal(folder)
    change_config(index, weight_map={"cap_pad_token": "absent.safetensors"})
    with pytest.raises(NotFound, match=r"lacks 1 of 1 files: absent\.safetensors"):
        open_model(folder)


def test_a_tensor_in_two_files_is_refused(pipeline, folder):
    pipeline.transformer.save_pretrained(folder / "transformer", max_shard_size="150KB")
    shards = sorted((folder / "transformer").glob("*-of-*.safetensors"))
    change_weights(shards[0], lambda w: w | {"cap_pad_token": torch.zeros(1, 64)})
    change_weights(shards[1], lambda w: w | {"cap_pad_token": torch.zeros(1, 64)})
    assert "same tensor twice" in refusal(folder)


@pytest.mark.parametrize("model", ["", "model."])
@pytest.mark.parametrize("dropped", [(), ("layers.2.", "norm.")])
def test_text_encoder_keys_come_with_or_without_model_in_front(
    model, dropped, folder, reference_folder
):
    expected = load_text_encoder(open_model(reference_folder), torch.float32, CPU)

    def change(weights):
        bare = {name.removeprefix("model."): weight for name, weight in weights.items()}
        return {model + name: w for name, w in bare.items() if not name.startswith(dropped)}

    change_weights(folder / TEXT_WEIGHTS, change)
    assert same(load_text_encoder(open_model(folder), torch.float32, CPU), expected)


def test_a_text_encoder_saved_with_its_language_head_is_read(pipeline, folder, reference_folder):
    head = Qwen3ForCausalLM(pipeline.text_encoder.config)
    head.model.load_state_dict(pipeline.text_encoder.state_dict())
    head.save_pretrained(folder / "text_encoder")
    expected = load_text_encoder(open_model(reference_folder), torch.float32, CPU)
    assert same(load_text_encoder(open_model(folder), torch.float32, CPU), expected)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 250_000.0},
        {"rope_parameters": {"rope_theta": 250_000.0, "rope_type": "default"}},
        {"rope_theta": 250_000, "rope_scaling": None},
    ],
)
def test_theta_stands_at_the_top_or_in_rope_parameters(rope, folder):
    path = folder / "text_encoder/config.json"
    values = json.loads(path.read_text())
    values.pop("rope_parameters", None)
    path.write_text(json.dumps(values | rope))
    checkpoint = open_model(folder)
    assert checkpoint.text_encoder["rope_theta"] == 250_000.0
    encoder = load_text_encoder(checkpoint, torch.bfloat16, CPU)
    frequencies = encoder.model.rotary_emb.inv_freq
    assert frequencies.dtype == torch.float32
    assert torch.allclose(frequencies, 250_000.0 ** -(torch.arange(0, 8, 2) / 8))


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
def test_an_autoencoder_with_the_original_names_is_read(prefix, folder, reference_folder):
    expected = load_vae(open_model(reference_folder), torch.float32, CPU)
    weights = load_file(folder / VAE_WEIGHTS)
    (folder / VAE_WEIGHTS).unlink()
    original = {prefix + original_name(n): as_convolution(n, w) for n, w in weights.items()}
    save_file(original, folder / "vae/ae.safetensors")
    assert same(load_vae(open_model(folder), torch.float32, CPU), expected)


def original_name(name: str) -> str:
    """Rename by the table in the original's own words, independent of the code under test."""
    parts = name.split(".")
    side, rest = parts[0], parts[1:]
    match rest:
        case ["down_blocks", i, "resnets", j, *tail]:
            place = ["down", i, "block", j, *tail]
        case ["up_blocks", i, "resnets", j, *tail]:
            place = ["up", str(3 - int(i)), "block", j, *tail]
        case ["down_blocks", i, "downsamplers", "0", *tail]:
            place = ["down", i, "downsample", *tail]
        case ["up_blocks", i, "upsamplers", "0", *tail]:
            place = ["up", str(3 - int(i)), "upsample", *tail]
        case ["mid_block", "resnets", i, *tail]:
            place = ["mid", f"block_{int(i) + 1}", *tail]
        case ["mid_block", "attentions", "0", *tail]:
            inner = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v"}
            head = "proj_out" if tail[0] == "to_out" else inner[tail[0]]
            place = ["mid", "attn_1", head, tail[-1]]
        case ["conv_norm_out", *tail]:
            place = ["norm_out", *tail]
        case _:
            place = rest
    return ".".join([side, *place]).replace("conv_shortcut", "nin_shortcut")


def as_convolution(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Give the attention's matrices [C, C] the form of 1 x 1 convolutions [C, C, 1, 1]."""
    is_matrix = ".attentions." in name and weight.ndim == 2
    return weight[..., None, None].contiguous() if is_matrix else weight


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("tokenizer/tokenizer.json", "tokenizer"),
        ("text_encoder", "text encoder"),
        ("vae", "autoencoder"),
        ("transformer", "transformer"),
    ],
)
def test_a_missing_part_is_named(name, what, folder):
    path = folder / name
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(UserError) as caught:
        open_model(folder)
    assert what in caught.value.message
    assert "autoencoder" not in caught.value.message or what == "autoencoder"


def test_missing_weights_are_named(folder):
    (folder / TRANSFORMER_WEIGHTS).unlink()
    with pytest.raises(NotFound, match="model/transformer holds 0 weight files"):
        open_model(folder)


def test_a_path_that_is_no_model_is_said_so(tmp_path, folder):
    with pytest.raises(NotFound, match="does not exist"):
        open_model(tmp_path / "absent")
    with pytest.raises(FileRejected, match="is not a safetensors file"):
        open_model(folder / "model_index.json")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model_index.json", "StableDiffusionXLPipeline"),
        ("transformer/config.json", "FluxTransformer2DModel"),
    ],
)
def test_a_folder_of_another_family_is_named(name, kind, folder):
    change_config(folder / name, _class_name=kind)
    assert f"this is '{kind}', not a Z-Image model" in refusal(folder)


def test_weights_of_another_network_are_named(folder):
    shutil.copy(folder / VAE_WEIGHTS, folder / TRANSFORMER_WEIGHTS)
    assert "holds an autoencoder of the FLUX type, not the transformer" in refusal(folder)


def test_missing_and_unexpected_weights_are_counted_before_anything_is_read(folder):
    def change(weights):
        del weights["layers.1.attention.to_k.weight"], weights["cap_embedder.0.weight"]
        return weights | {"strange.weight": torch.zeros(2)}

    change_weights(folder / TRANSFORMER_WEIGHTS, change)
    sentence = refusal(folder)
    assert "2 missing (cap_embedder.0.weight, layers.1.attention.to_k.weight)" in sentence
    assert "1 unexpected (strange.weight)" in sentence


def test_a_layer_of_another_shape_is_named(folder):
    name = "layers.1.feed_forward.w2.weight"
    change_weights(folder / TRANSFORMER_WEIGHTS, lambda w: w | {name: torch.zeros(64, 8)})
    assert f"1 of the wrong shape ({name} [64, 8] instead of [64, 170])" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_quantised_weights_are_refused_by_name(dtype, folder):
    name = "layers.0.attention.to_q.weight"
    change_weights(folder / TRANSFORMER_WEIGHTS, lambda w: w | {name: w[name].to(dtype)})
    assert f"stores '{name}' as " in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_every_floating_type_is_cast_on_the_way(dtype, folder, reference_folder):
    expected = load_transformer(open_model(reference_folder), torch.float32, CPU)
    change_weights(folder / TRANSFORMER_WEIGHTS, lambda w: {n: t.to(dtype) for n, t in w.items()})
    found = load_transformer(open_model(folder), torch.float32, CPU).state_dict()
    assert all(torch.equal(found[n], w.to(dtype).float()) for n, w in expected.state_dict().items())
