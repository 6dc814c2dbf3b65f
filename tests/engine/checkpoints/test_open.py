"""One model in every layout is one model: its networks hold the same weights, bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints import header_cache
from engine.checkpoints.load import (
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from engine.checkpoints.open import Hints, open_model
from engine.errors import FileRejected, NotFound
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.test_folder import change_config, same

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[3]
LOADERS = (load_transformer, load_vae, load_text_encoder)


@pytest.fixture(scope="module")
def source(tokenizer_folder, tmp_path_factory) -> Path:
    """The model as a diffusers folder; tests only read it."""
    return layouts.save_public(tmp_path_factory.mktemp("public"), tokenizer_folder)


@pytest.fixture(scope="module")
def expected(source):
    return [load(open_model(source), torch.float32, CPU) for load in LOADERS]


@pytest.fixture
def lonely(source, tmp_path) -> Path:
    """A transformer's file with nothing beside it."""
    path = tmp_path / "deep/down/below/model.safetensors"
    path.parent.mkdir(parents=True)
    save_file(layouts.fused(layouts.weights_of(source, "transformer")), path)
    return path


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_gives_the_same_networks(layout, source, expected, tmp_path):
    checkpoint = open_model(layouts.LAYOUTS[layout](source, tmp_path))
    for load, network in zip(LOADERS, expected, strict=True):
        assert same(load(checkpoint, torch.float32, CPU), network)
    assert load_tokenizer(checkpoint).encode("seven").ids
    assert (checkpoint.shift, checkpoint.variant.name) == (3.0, "turbo")
    assert checkpoint.transformer == layouts.TRANSFORMER
    assert checkpoint.vae == layouts.VAE


def test_an_all_in_one_file_is_cut_into_its_parts(source, tmp_path):
    path = layouts.as_all_in_one(source, tmp_path)
    checkpoint = open_model(path)
    for part, prefix in zip(
        (checkpoint.parts.transformer, checkpoint.parts.text_encoder, checkpoint.parts.vae),
        layouts.AIO_PREFIXES,
        strict=True,
    ):
        assert part.prefix == prefix
        assert all(name.startswith(prefix) for name in part.weights)
    assert checkpoint.size == path.stat().st_size


def test_configurations_in_the_folders_of_the_parts_belong_to_an_all_in_one_file(
    our_folder, tmp_path
):
    path = layouts.as_all_in_one(our_folder, tmp_path)
    with pytest.raises(FileRejected, match=r"autoencoder's norm_num_groups .* vae/config\.json"):
        open_model(path)
    for part in ("transformer", "text_encoder", "vae"):
        (tmp_path / part).mkdir()
        shutil.copy(our_folder / part / "config.json", tmp_path / part)
    opened, expected = open_model(path), open_model(our_folder)
    assert opened.vae == expected.vae
    assert opened.transformer == expected.transformer
    assert opened.text_encoder == expected.text_encoder


def test_a_bare_file_lacks_three_parts_and_names_the_command_that_gets_them(lonely):
    with pytest.raises(NotFound) as caught:
        open_model(lonely)
    assert "without text encoder, autoencoder, tokenizer" in caught.value.message
    assert "python app.py models download turbo" in caught.value.action
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("layout", ["diffusers folder", "all in one", "loose parts"])
def test_missing_parts_come_from_an_installed_model(layout, source, expected, lonely, tmp_path):
    home = layouts.LAYOUTS[layout](source, tmp_path)
    checkpoint = open_model(lonely, hints=Hints(homes=(tmp_path / "absent", home)))
    assert same(load_vae(checkpoint, torch.float32, CPU), expected[1])
    assert same(load_text_encoder(checkpoint, torch.float32, CPU), expected[2])
    assert checkpoint.path == lonely


def test_nothing_is_taken_from_an_installed_model_of_another_width(lonely, reference_folder):
    with pytest.raises(NotFound, match="text encoder, autoencoder, tokenizer"):
        open_model(lonely, hints=Hints(homes=(reference_folder,)))


def test_what_lies_beside_the_file_goes_before_what_is_installed(source, lonely, tmp_path):
    layouts.side_parts(source, lonely.parent)
    home = layouts.as_folder(source, tmp_path)
    checkpoint = open_model(lonely, hints=Hints(homes=(home,)))
    taken = [part.headers[0].path for part in checkpoint.parts.every]
    assert not [path for path in (*taken, checkpoint.tokenizer) if path.is_relative_to(home)]


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The files whose headers were read, each time that they were."""
    paths, read = [], header_cache.read_header
    monkeypatch.setattr(header_cache, "read_header", lambda path: paths.append(path) or read(path))
    return paths


def strangers(folder: Path, count: int) -> None:
    for number in range(count):
        save_file({"blocks.0.self_attn.q.weight": torch.ones(1)}, folder / f"{number}.safetensors")


def test_a_shelf_of_strangers_is_not_searched_for_parts_that_lie_in_their_own_folders(
    source, reads, tmp_path
):
    path = layouts.as_sorted_parts(source, tmp_path)
    shelf = path.parent.parent
    path = path.rename(shelf / path.name)
    strangers(shelf, 20)
    assert open_model(path)
    assert [read for read in reads if read.parent == shelf] == [path]


def test_no_folder_is_searched_twice(source, lonely, reads):
    shelf = lonely.parent.rename(lonely.parent.parent / "diffusion_models")
    strangers(shelf, 20)
    with pytest.raises(NotFound):
        open_model(shelf / lonely.name)
    assert reads.count(shelf / "3.safetensors") == 1


def test_a_part_beside_the_file_goes_before_a_folder_of_parts(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    (model / "vae").mkdir()
    shutil.copy(model / "three.safetensors", model / "vae/ae.safetensors")
    checkpoint = open_model(model / "one.safetensors")
    assert checkpoint.parts.vae.headers[0].path == model / "three.safetensors"


def test_of_several_encoders_the_one_that_fits_is_taken(source, reference_folder, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    (other,) = (reference_folder / "text_encoder").glob("*.safetensors")
    shutil.copy(other, model / "aaa_qwen_3_4b.safetensors")
    assert open_model(model).text_encoder["hidden_size"] == 32


def test_of_several_parts_that_fit_the_usual_name_goes_first(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    shutil.copy(model / "three.safetensors", model / "ae.safetensors")
    weights = {
        name: weight.float() for name, weight in load_file(model / "three.safetensors").items()
    }
    save_file(weights, model / "larger.safetensors")
    assert open_model(model).parts.vae.headers[0].path.name == "ae.safetensors"


def test_a_tokenizer_of_another_vocabulary_is_passed_by(source, lonely, tmp_path):
    layouts.side_parts(source, lonely.parent)
    path = lonely.parent / "tokenizer/tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["large"] = 300
    path.write_text(json.dumps(values))
    with pytest.raises(NotFound, match="without tokenizer,"):
        open_model(lonely)
    home = layouts.as_folder(source, tmp_path)
    assert open_model(lonely, hints=Hints(homes=(home,))).tokenizer.is_relative_to(home)


def test_a_tokenizer_of_far_fewer_tokens_than_the_encoder_is_passed_by(source, lonely):
    layouts.side_parts(source, lonely.parent)
    path = lonely.parent / "tokenizer/tokenizer.json"
    values = json.loads(path.read_text())
    vocab = values["model"]["vocab"]
    values["model"]["vocab"] = {name: i for name, i in vocab.items() if i < 100}
    values["added_tokens"] = []
    path.write_text(json.dumps(values))
    with pytest.raises(NotFound, match="without tokenizer,"):
        open_model(lonely)


def test_a_folder_with_two_transformers_asks_for_one_of_them(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    shutil.copy(model / "one.safetensors", model / "zero.safetensors")
    with pytest.raises(FileRejected, match=r"2 models: downloads/one\S+, downloads/zero"):
        open_model(model)


def test_a_folder_of_strangers_says_what_the_first_one_is(tmp_path):
    names = ("blocks.0.self_attn.q.weight", "blocks.0.cross_attn.k.weight")
    save_file({name: torch.ones(1) for name in names}, tmp_path / "wan.safetensors")
    with pytest.raises(FileRejected, match="is a Wan model"):
        open_model(tmp_path)


def test_a_folder_without_its_transformer_says_what_else_lies_there(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    path = model / "one.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (model / "four.safetensors").unlink()
    (model / "five.safetensors").unlink()
    with pytest.raises(NotFound, match=r"no transformer .*one\.safetensors is incomplete"):
        open_model(model)


def test_a_diffusers_folder_without_weights_says_so(source, tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(FileRejected, match="holds nothing of Z-Image, but no transformer"):
        open_model(tmp_path)


def test_a_transformer_torn_into_prefixes_is_refused(source, tmp_path):
    model = layouts.as_folder(source, tmp_path)
    path = model / "transformer/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    torn = {("a." if n.startswith("layers.") else "x.") + n: w for n, w in weights.items()}
    encoder = layouts.behind("y.", layouts.weights_of(source, "text_encoder"))
    save_file(torn | encoder, path)
    with pytest.raises(FileRejected, match="lacks its first layer"):
        open_model(model)


def test_int8_in_one_file_of_several_is_kept_beside_another_network(source, expected, tmp_path):
    first, second, third = layouts.AIO_PREFIXES
    weights = layouts.all_in_one_weights(source)
    layer = f"{first}layers.1.feed_forward.w2.weight"
    values = torch.randint(-127, 127, weights.pop(layer).shape, dtype=torch.int8)
    scales = {f"{layer}._data": values, f"{layer}._scale": torch.ones(64, 1)}
    here = {n: w for n, w in weights.items() if n.startswith((first, second))}
    save_file(here, tmp_path / "z-00001-of-00002.safetensors")
    rest = {n: w for n, w in weights.items() if n.startswith(third)}
    save_file(rest | scales, tmp_path / "z-00002-of-00002.safetensors")
    shutil.copytree(source / "tokenizer", tmp_path / "tokenizer")
    checkpoint = open_model(tmp_path / "z-00001-of-00002.safetensors")
    network = load_transformer(checkpoint, torch.float32, CPU)
    assert torch.equal(network.layers[1].feed_forward.w2.weight, values.float())


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(NotFound, match="holds no transformer of Z-Image"):
        open_model(tmp_path)


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_part_given_as_a_model_is_named(part, source):
    (path,) = (source / part).glob("*.safetensors")
    name = part.replace("_", " ")
    with pytest.raises(FileRejected, match=f"holds {name} of Z-Image, but no transformer"):
        open_model(path)


def test_a_shard_whose_sisters_are_missing_says_so(source, tmp_path):
    path = layouts.as_shards_without_index(source, tmp_path)
    (tmp_path / "zimage-00001-of-00002.safetensors").unlink()
    with pytest.raises(NotFound, match="one of 2 files, but zimage-00001-of-00002"):
        open_model(path)


@pytest.mark.parametrize("name", ["config.json", "model.json", "model_config.json"])
def test_what_shapes_do_not_tell_comes_from_a_configuration_beside_the_file(name, source, tmp_path):
    path = layouts.LAYOUTS["original names"](source, tmp_path)
    (tmp_path / name).write_text(json.dumps({"cap_feat_dim": 32, "rope_theta": 99.0}))
    assert open_model(path).transformer.rope_theta == 99.0
    change_config(tmp_path / name, dim=3840)
    with pytest.raises(FileRejected, match=f"{name}: dim is 3840, but the weights say 64"):
        open_model(path)


def test_a_configuration_of_another_network_is_passed_by(source, tmp_path):
    path = layouts.LAYOUTS["original names"](source, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"block_out_channels": [1], "t_scale": 5.0}))
    assert open_model(path).transformer.t_scale == 1000.0


def test_an_encoder_of_another_width_is_refused_with_both_widths(
    source, reference_folder, tmp_path
):
    model = layouts.as_folder(source, tmp_path)
    shutil.rmtree(model / "text_encoder")
    shutil.copytree(reference_folder / "text_encoder", model / "text_encoder")
    with pytest.raises(FileRejected, match="encoder is 48 wide, but the transformer expects 32"):
        open_model(model)


def test_an_omni_transformer_without_a_vision_encoder_says_what_is_missing(source, tmp_path):
    def omni(weights: layouts.Weights) -> layouts.Weights:
        return weights | {"siglip_embedder.1.weight": torch.ones(64, 24)}

    path = layouts.as_single_file("", omni)(source, tmp_path)
    with pytest.raises(NotFound, match=r"comes without .*vision encoder"):
        open_model(path)


def test_an_encoder_without_its_last_layer_and_norm_is_counted_right(source, expected, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    weights = load_file(model / "two.safetensors")
    save_file(
        {n: w for n, w in weights.items() if not n.startswith(("model.layers.2.", "model.norm."))},
        model / "two.safetensors",
    )
    assert same(load_text_encoder(open_model(model), torch.float32, CPU), expected[2])


def test_a_name_as_long_as_a_disk_allows_is_opened(source, tmp_path):
    path = layouts.LAYOUTS["original names"](source, tmp_path)
    path = path.rename(tmp_path / ("x" * 251 + ".sft"))
    assert open_model(path).path == path


def test_a_path_that_no_disk_allows_is_said_not_to_be_there(tmp_path):
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(NotFound, match=r"cannot be read|does not exist"):
            open_model(tmp_path / name)


def test_a_file_is_opened_by_its_name_alone(source, tmp_path, monkeypatch):
    path = layouts.as_file_of_a_folder(source, tmp_path)
    monkeypatch.chdir(path.parent)
    for place in (Path(path.name), Path()):
        checkpoint = open_model(place)
        assert checkpoint.parts.vae.headers[0].path.is_relative_to(tmp_path)
        assert checkpoint.variant_known


def test_a_file_that_changed_since_it_was_opened_is_refused(source, tmp_path):
    path = layouts.as_all_in_one(source, tmp_path)
    checkpoint = open_model(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for load in LOADERS:
        with pytest.raises(FileRejected, match="was changed"):
            load(checkpoint, torch.float32, CPU)


def test_autoencoders_of_early_diffusers_are_read(source, expected, tmp_path):
    renames = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = layouts.weights_of(source, "vae")
    for new, old in renames.items():
        weights = {name.replace(new, old): weight for name, weight in weights.items()}
    model = layouts.as_loose_parts(source, tmp_path)
    save_file(weights, model / "three.safetensors")
    assert same(load_vae(open_model(model), torch.float32, CPU), expected[1])


def test_opening_a_model_needs_no_torch(source):
    code = (
        "import sys; from pathlib import Path; from engine.checkpoints.open import open_model; "
        "open_model(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(source)], cwd=ROOT).returncode == 0


def test_averaged_weights_beside_the_weights_are_left_alone(source, expected, tmp_path):
    weights = layouts.all_in_one_weights(source)
    first = layouts.AIO_PREFIXES[0]
    copies = {
        name.replace(first, "model_ema.diffusion_model."): torch.zeros_like(weight)
        for name, weight in weights.items()
        if name.startswith(first)
    }
    path = layouts.as_all_in_one(source, tmp_path)
    save_file(copies | weights, path)
    assert same(load_transformer(open_model(path), torch.float32, CPU), expected[0])


def test_a_transformer_without_prefix_may_share_its_file(source, expected, tmp_path):
    first = layouts.AIO_PREFIXES[0]
    weights = layouts.all_in_one_weights(source)
    weights = {name.removeprefix(first): weight for name, weight in weights.items()}
    path = layouts.as_all_in_one(source, tmp_path)
    save_file({name: w for name, w in weights.items() if "other" not in name}, path)
    checkpoint = open_model(path)
    prefixes = [part.prefix for part in checkpoint.parts.every]
    assert prefixes == ["", *reversed(layouts.AIO_PREFIXES[1:])]
    assert not [
        n for n in checkpoint.parts.transformer.weights if n.startswith(tuple(prefixes[1:]))
    ]


def test_an_encoder_of_another_family_in_the_file_is_not_taken(source, tmp_path):
    weights = layouts.all_in_one_weights(source)
    second = layouts.AIO_PREFIXES[1]
    path = layouts.as_all_in_one(source, tmp_path)
    gemma = {f"{second}layers.0.pre_feedforward_layernorm.weight": torch.ones(32)}
    save_file(weights | gemma, path)
    with pytest.raises(NotFound, match="without text encoder, tokenizer,"):
        open_model(path)


def test_the_files_own_parts_go_before_those_beside_it(source, tmp_path):
    path = layouts.as_all_in_one(source, tmp_path)
    vae = layouts.as_original_vae(layouts.weights_of(source, "vae"))
    save_file(vae, tmp_path / "ae.safetensors")
    (tmp_path / "text_encoders").mkdir()
    (tmp_path / "tokenizer.json").rename(tmp_path / "text_encoders/tokenizer.json")
    checkpoint = open_model(path)
    assert {part.headers[0].path for part in checkpoint.parts.every} == {path}


def test_a_damaged_part_beside_the_file_is_named(source, tmp_path):
    path = layouts.as_sorted_parts(source, tmp_path)
    vae = tmp_path / "models/vae/ae.safetensors"
    vae.write_bytes(vae.read_bytes()[:-1])
    with pytest.raises(NotFound, match=r"without autoencoder,.*vae/ae\.safetensors is incomplete"):
        open_model(path)


def test_an_autoencoder_of_other_latents_is_passed_by(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path)
    weights = load_file(model / "three.safetensors")
    weights["decoder.conv_in.weight"] = weights["decoder.conv_in.weight"][:, :4].contiguous()
    save_file(weights, model / "ae.safetensors")
    assert open_model(model).parts.vae.headers[0].path.name == "three.safetensors"
