"""Converted models are what optimum-quanto would have written, and load as what they were."""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from optimum.quanto import freeze, qint8, quantize, requantize
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import cli
from engine.checkpoints.convert import Conversion, convert
from engine.checkpoints.header import DTYPE_BYTES, read_header
from engine.checkpoints.identity import VARIANT_KEY
from engine.checkpoints.load import load_text_encoder, load_transformer
from engine.checkpoints.memory import remember
from engine.checkpoints.open import Hints, open_model
from engine.checkpoints.unpack.rows import regular_hadamard
from engine.checkpoints.writer import Planned, write_tensors
from engine.errors import BadRequest, Cancelled, DiskError, FileRejected, NotFound
from engine.quant.linear import Int8Linear
from engine.quant.recipe import Form
from engine.quant.rows import quantise_rows
from tests.engine.checkpoints import layouts

CPU = torch.device("cpu")
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def converted(reference_folder, tmp_path_factory) -> Path:
    """The reference's model as int8."""
    goal = tmp_path_factory.mktemp("converted") / "int8"
    convert(Conversion(source=reference_folder, goal=goal, int8=True))
    return goal


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def quanto_map(path: Path) -> dict[str, dict[str, str]]:
    return json.loads(base64.b64decode(metadata(path)["quantization_map_base64"]))


def test_the_file_is_what_quanto_itself_writes(converted, pipeline):
    theirs = ZImageTransformer2DModel.from_config(pipeline.transformer.config)
    theirs.load_state_dict(pipeline.transformer.state_dict())
    quantize(theirs, weights=qint8, include="layers.*", exclude="*adaLN*")
    freeze(theirs)
    expected, found = theirs.state_dict(), load_file(converted / WEIGHTS)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(found[name].dtype is expected[name].dtype for name in expected)


def test_quanto_reads_the_file_and_computes_with_it(converted, pipeline):
    path = converted / WEIGHTS
    assert metadata(path)["quantization_format"] == "quanto"
    assert len(quanto_map(path)) == 3 * 7
    theirs = ZImageTransformer2DModel.from_config(pipeline.transformer.config)
    requantize(theirs, load_file(path), quanto_map(path), device=CPU)
    ours = load_transformer(open_model(converted), torch.float32, CPU, form=Form.INT8)
    layer = theirs.layers[1].attention.to_k
    assert torch.equal(layer.weight._data, ours.layers[1].attention.qkv.weight[64:128])
    x = torch.randn(3, 64)
    rows = ours.layers[1].attention.qkv
    dense = rows.weight[64:128].float() * rows.scales[64:128, None]
    torch.testing.assert_close(layer(x), x @ dense.t())


@pytest.mark.parametrize("load", [load_transformer, load_text_encoder])
def test_a_converted_model_is_bit_for_bit_the_one_rounded_at_loading(
    load, converted, reference_folder
):
    at_loading = load(open_model(reference_folder), torch.float32, CPU, form=Form.INT8)
    from_file = load(open_model(converted), torch.float32, CPU, form=Form.INT8)
    expected = dict(at_loading.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in from_file.named_parameters())
    layers = [m for m in at_loading.modules() if isinstance(m, Int8Linear)]
    others = [m for m in from_file.modules() if isinstance(m, Int8Linear)]
    assert len(layers) == len(others) > 0
    for one, other in zip(layers, others, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.scales, other.scales)


def test_what_is_not_converted_comes_along(converted, reference_folder):
    for name in ("model_index.json", "vae/diffusion_pytorch_model.safetensors"):
        assert (converted / name).read_bytes() == (reference_folder / name).read_bytes()
    assert open_model(converted).variant == open_model(reference_folder).variant


def test_bfloat16_is_the_plain_cast_also_of_int8(converted, reference_folder, tmp_path):
    for source in (reference_folder, converted):
        goal = tmp_path / source.name
        convert(Conversion(source=source, goal=goal, int8=False))
        found = load_transformer(open_model(goal), torch.bfloat16, CPU)
        expected = load_transformer(open_model(source), torch.bfloat16, CPU)
        pairs = zip(found.parameters(), expected.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert {t.dtype for t in load_file(goal / WEIGHTS).values()} == {torch.bfloat16}


def test_a_file_with_fused_weights_gets_diffusers_names(reference_folder, tmp_path, converted):
    stored = load_file(reference_folder / WEIGHTS)
    fused = {}
    for name, weight in stored.items():
        if ".to_q." in name:
            parts = [stored[name.replace(".to_q.", f".to_{part}.")] for part in "qkv"]
            fused[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif ".to_k." not in name and ".to_v." not in name:
            for theirs, own in (("to_out.0", "out"), ("norm_q", "q_norm"), ("norm_k", "k_norm"),
                                ("all_x_embedder.2-1", "x_embedder"),
                                ("all_final_layer.2-1", "final_layer")):  # fmt: skip
                name = name.replace(theirs, own)
            fused[f"model.diffusion_model.{name}"] = weight
    fused = {(n if n.startswith("model.") else f"model.diffusion_model.{n}"): w.contiguous()
             for n, w in fused.items()}  # fmt: skip
    save_file(fused, tmp_path / "original.safetensors")
    goal = tmp_path / "int8.safetensors"
    convert(Conversion(source=tmp_path / "original.safetensors", goal=goal, int8=True))
    found, expected = load_file(goal), load_file(converted / WEIGHTS)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_integers_stay_as_they_are_when_converted_again(converted, tmp_path):
    goal = tmp_path / "again.safetensors"
    convert(Conversion(source=converted / WEIGHTS, goal=goal, int8=True))
    found, expected = load_file(goal), load_file(converted / WEIGHTS)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_turned_columns_are_turned_back_since_quanto_has_none(reference_folder, tmp_path):
    stored = load_file(reference_folder / WEIGHTS)
    name = "layers.1.feed_forward.w1"
    rows = quantise_rows(stored[f"{name}.weight"] @ regular_hadamard(64, CPU))
    options = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 64}
    layers = json.dumps({"format_version": "1.0", "layers": {name: options}})
    changed = {**stored, f"{name}.weight": rows.values, f"{name}.weight_scale": rows.scales}
    save_file(changed, tmp_path / "turned.safetensors", {"_quantization_metadata": layers})
    goal = tmp_path / "int8.safetensors"
    convert(Conversion(source=tmp_path / "turned.safetensors", goal=goal, int8=True))
    found = load_file(goal)
    dense = found[f"{name}.weight._data"].float() * found[f"{name}.weight._scale"].float()
    right = stored[f"{name}.weight"]
    assert (dense - right).norm() / right.norm() < 0.02


def test_every_tensor_lies_at_a_multiple_of_its_own_size(converted):
    header = read_header(converted / WEIGHTS)
    assert {tensor.dtype for tensor in header.tensors.values()} == {"I8", "F32"}
    for tensor in header.tensors.values():
        assert tensor.start % DTYPE_BYTES[tensor.dtype] == 0


def test_wide_numbers_stand_before_narrow_ones(tmp_path):
    planned = [Planned("a", "I8", (3,)), Planned("b", "F32", (1,)), Planned("c", "BF16", (1,))]
    tensors = [("a", torch.ones(3)), ("c", torch.ones(1)), ("b", torch.ones(1))]
    write_tensors(tmp_path / "file", planned, {}, tensors)
    entries = read_header(tmp_path / "file").tensors
    assert sorted(entries, key=lambda name: entries[name].start) == ["b", "c", "a"]
    assert entries["b"].start % 8 == 0


def test_half_precision_gets_wider_scales(our_folder, tmp_path):
    convert(Conversion(source=our_folder, goal=tmp_path / "int8", int8=True))
    found = load_file(tmp_path / "int8" / WEIGHTS)
    assert found["layers.0.feed_forward.w2.weight._scale"].dtype is torch.float32
    assert found["layers.0.attention_norm1.weight"].dtype is torch.float16
    assert metadata(tmp_path / "int8" / WEIGHTS)["variant"] == "demo-turbo"


def test_a_conversion_that_is_stopped_leaves_no_file(reference_folder, tmp_path):
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) == 20:
            raise Cancelled("enough")

    goal = tmp_path / "int8.safetensors"
    with pytest.raises(Cancelled):
        convert(Conversion(source=reference_folder / WEIGHTS, goal=goal, int8=True, on_tensor=stop))
    assert list(tmp_path.iterdir()) == []


def fingerprint(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("stop_at", [0, 40, 90])
def test_a_folder_is_converted_whole_or_not_at_all(stop_at, reference_folder, tmp_path):
    goal = tmp_path / "int8"
    wanted = Conversion(source=reference_folder, goal=goal, int8=True)
    calls = iter(range(1000))

    def stop() -> None:
        if next(calls) == stop_at:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        convert(replace(wanted, on_tensor=stop))
    assert list(tmp_path.iterdir()) == []
    convert(wanted)
    before, calls = fingerprint(goal), iter(range(1000))
    with pytest.raises(Cancelled):
        convert(replace(wanted, int8=False, force=True, on_tensor=stop))
    assert fingerprint(goal) == before
    assert list(tmp_path.iterdir()) == [goal]


@pytest.fixture(scope="module")
def public(tokenizer_folder, tmp_path_factory) -> Path:
    """A diffusers folder whose transformer does not say which variant it is."""
    return layouts.save_public(tmp_path_factory.mktemp("public"), tokenizer_folder)


@pytest.mark.parametrize("int8", [False, True])
def test_the_autoencoder_of_an_all_in_one_file_stays_as_it_is(int8, public, tmp_path):
    source, goal = layouts.as_all_in_one(public, tmp_path), tmp_path / "goal.safetensors"
    convert(Conversion(source=source, goal=goal, int8=int8))
    before, after = load_file(source), load_file(goal)
    names = {name for name in before if name.startswith(layouts.AIO_PREFIXES[2])}
    assert names == {name for name in after if name.startswith(layouts.AIO_PREFIXES[2])}
    assert all(torch.equal(before[name], after[name]) for name in names)
    assert {after[name].dtype for name in names} == {torch.float16}


def noted_variant(source: Path, goal: Path, data: Path | None = None) -> str | None:
    """The variant that a conversion notes in the file it writes."""
    convert(Conversion(source=source, goal=goal, int8=False, data=data, force=True))
    return metadata(goal).get(VARIANT_KEY)


def test_what_told_the_variant_of_a_file_is_noted_in_the_new_one(public, tmp_path):
    source, goal = tmp_path / "x.safetensors", tmp_path / "goal.safetensors"
    save_file(layouts.weights_of(public, "transformer"), source)
    assert noted_variant(source, goal) is None
    remember(open_model(source, hints=Hints(homes=(public,))).parts.transformer.digest, "base",
             tmp_path / "data")  # fmt: skip
    assert noted_variant(source, goal, tmp_path / "data") == "base"
    assert (
        noted_variant(source.rename(tmp_path / "z_image_de_turbo.safetensors"), goal) == "de-turbo"
    )
    (tmp_path / "scheduler_config.json").write_text(json.dumps({"shift": 6.0}))
    source = (tmp_path / "z_image_de_turbo.safetensors").rename(source)
    assert noted_variant(source, goal) == "base"


def test_a_text_encoder_is_of_no_variant(public, tmp_path):
    source = public / "text_encoder/model.safetensors"
    assert noted_variant(source, tmp_path / "goal.safetensors") is None


def test_what_is_there_is_replaced_only_on_demand(reference_folder, tmp_path):
    goal = tmp_path / "int8.safetensors"
    goal.write_bytes(b"precious")
    wanted = {"source": reference_folder / WEIGHTS, "goal": goal, "int8": True}
    with pytest.raises(BadRequest, match="--force"):
        convert(Conversion(**wanted))
    assert goal.read_bytes() == b"precious"
    convert(Conversion(**wanted, force=True))
    assert load_file(goal)


def test_shards_that_a_reader_would_prefer_go_when_a_folder_is_replaced(
    converted, public, tmp_path
):
    goal = layouts.as_float32_shards(public, tmp_path)
    kept = [goal / "transformer/notes.txt", goal / "transformer/mine.safetensors"]
    for path in kept:
        path.write_text("mine")
    convert(Conversion(source=public, goal=goal, int8=True, force=True))
    assert all(path.read_text() == "mine" for path in kept)
    assert not list(goal.rglob("*-of-*")) and not list(goal.rglob("*.index.json"))
    assert open_model(goal).parts.transformer.stores_int8


def test_shards_stay_in_a_folder_that_is_no_model(public, tmp_path):
    shard = tmp_path / "goal/vae/model-00001-of-00002.safetensors"
    shard.parent.mkdir(parents=True)
    shard.write_text("mine")
    convert(Conversion(source=public, goal=tmp_path / "goal", int8=True, force=True))
    assert shard.read_text() == "mine"


def test_a_second_copy_of_the_weights_does_not_replace_the_converted_ones(public, tmp_path):
    source, goal = layouts.as_float32_shards(public, tmp_path), tmp_path / "goal"
    shutil.copy(public / WEIGHTS, source / WEIGHTS)
    convert(Conversion(source=source, goal=goal, int8=True))
    assert open_model(goal).parts.transformer.stores_int8


def test_a_folder_in_the_goal_that_leads_elsewhere_is_refused(public, tmp_path):
    goal = tmp_path / "goal"
    goal.mkdir()
    (goal / "transformer").symlink_to(public / "transformer", target_is_directory=True)
    with pytest.raises(BadRequest, match="leads out of"):
        convert(Conversion(source=public, goal=goal, int8=True, force=True))
    assert sorted(path.name for path in goal.iterdir()) == ["transformer"]


@pytest.mark.parametrize("layout", ["loose parts", "loose shards"])
def test_of_loose_parts_the_text_encoder_is_converted_too(layout, public, tmp_path):
    source, goal = layouts.LAYOUTS[layout](public, tmp_path), tmp_path / "goal"
    convert(Conversion(source=source, goal=goal, int8=True))
    names = {path.name for path in source.iterdir() if "-of-" not in path.name}
    assert {path.name for path in goal.iterdir()} == names | {"one.safetensors"}
    parts = open_model(goal).parts
    assert parts.transformer.stores_int8 and parts.text_encoder.stores_int8
    for name in names - {"one.safetensors", "two.safetensors"}:
        assert (goal / name).read_bytes() == (source / name).read_bytes()


def test_an_all_in_one_file_in_a_folder_stays_one(public, tmp_path):
    (tmp_path / "source").mkdir()
    source, goal = layouts.as_all_in_one(public, tmp_path / "source").parent, tmp_path / "goal"
    convert(Conversion(source=source, goal=goal, int8=True))
    checkpoint = open_model(goal)
    assert checkpoint.parts.transformer.stores_int8 and checkpoint.parts.text_encoder.stores_int8
    assert [header.path.name for header in checkpoint.parts.vae.headers] == ["aio.safetensors"]


def test_two_files_never_get_one_name(public, tmp_path):
    source, goal = layouts.as_loose_parts(public, tmp_path), tmp_path / "goal"
    (source / "two.safetensors").rename(source / "two.sft")
    (source / "three.safetensors").rename(source / "two.safetensors")
    with pytest.raises(FileRejected, match=r"called two\.safetensors"):
        convert(Conversion(source=source, goal=goal, int8=True))
    assert not goal.exists()


def test_a_model_is_never_written_over_itself(reference_folder, tmp_path):
    for goal in (reference_folder, reference_folder / "int8", reference_folder.parent):
        with pytest.raises(BadRequest, match="the same, or one lies in the other"):
            convert(Conversion(source=reference_folder, goal=goal, int8=True, force=True))


@pytest.mark.parametrize(
    ("source", "goal", "error"),
    [
        ("vae/diffusion_pytorch_model.safetensors", "x.safetensors", FileRejected),
        (WEIGHTS, "x.bin", BadRequest),
        (WEIGHTS, "missing/x.safetensors", NotFound),
        ("nothing.safetensors", "x.safetensors", NotFound),
        ("model_index.json", "x.safetensors", FileRejected),
    ],
)
def test_what_cannot_be_converted_is_said(reference_folder, tmp_path, source, goal, error):
    with pytest.raises(error):
        convert(Conversion(source=reference_folder / source, goal=tmp_path / goal, int8=True))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_anything_is_written(reference_folder, tmp_path, monkeypatch):
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(DiskError, match="1,000 free"):
        convert(
            Conversion(
                source=reference_folder / WEIGHTS, goal=tmp_path / "x.safetensors", int8=True
            )
        )
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_where_the_model_lies(reference_folder, tmp_path, capsys):
    goal = tmp_path / "int8"
    words = ["convert", str(reference_folder), str(goal), "--precision", "int8"]
    assert cli.main(words, lambda *_: None) == 0
    assert capsys.readouterr().out == f"{goal}\n"
    assert cli.main(words, lambda *_: None) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_what_a_killed_conversion_left_is_swept_by_the_next(reference_folder, tmp_path):
    left = tmp_path / ".atelier-0123456789abcdef.tmp"
    left.write_bytes(b"half a model")
    folder = tmp_path / ".atelier-0123456789abcdee.tmp"
    folder.mkdir()
    (folder / "half").write_bytes(b"half a model")
    for path in (left, folder / "half", folder):
        os.utime(path, (0, 0))
    goal = tmp_path / "int8.safetensors"
    convert(Conversion(source=reference_folder / WEIGHTS, goal=goal, int8=True))
    assert list(tmp_path.iterdir()) == [goal]
