"""A configuration is a stranger's text: it must agree with the weights, field by field."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoints.configs import Declared, transformer_config
from engine.checkpoints.export import save_folder
from engine.checkpoints.open import open_model
from engine.errors import FileRejected
from engine.model.text_encoder import TextEncoder

HUGE = 10**15


@pytest.fixture
def refused(reference_folder, tmp_path):
    """Change fields of one configuration, expect the refusal of the folder, return the sentence."""

    def refuse(part: str, **changes: object) -> str:
        folder = Path(shutil.copytree(reference_folder, tmp_path / "model"))
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        with pytest.raises(FileRejected) as caught:
            open_model(folder)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("dim", 3840, 64),
        ("dim", HUGE, 64),
        ("dim", 64.0, 64),
        ("n_layers", 30, 3),
        ("n_layers", True, 3),
        ("n_refiner_layers", 1, 2),
        ("n_heads", 4, 2),
        ("n_kv_heads", 1, 2),
        ("cap_feat_dim", "48", 48),
        ("in_channels", 4, 16),
    ],
)
def test_a_transformer_whose_weights_disagree_is_refused_with_both_values(
    field, value, stored, refused
):
    assert f"{field} is {value!r}, but the weights say {stored}" in refused(
        "transformer", **{field: value}
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("axes_dims", [32, 48, 48]),
        ("axes_dims", [7, 13, 12]),
        ("axes_dims", [0, 16, 16]),
        ("axes_dims", "8,12,12"),
        ("rope_theta", 0),
        ("rope_theta", 1e300),
        ("rope_theta", None),
        ("norm_eps", -1e-5),
        ("t_scale", True),
        ("all_patch_size", [2, 4]),
        ("qk_norm", False),
        ("siglip_feat_dim", 1152),
    ],
)
def test_a_transformer_we_cannot_build_is_refused_by_field(field, value, refused):
    assert field in refused("transformer", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block_out_channels", [128, 256, 512, 512]),
        ("layers_per_block", 2),
        ("latent_channels", 4),
        ("norm_num_groups", 3),
        ("norm_num_groups", 0),
        ("scaling_factor", 0.0),
        ("scaling_factor", "0.36"),
        ("shift_factor", None),
        ("use_quant_conv", True),
        ("mid_block_add_attention", False),
        ("down_block_types", ["AttnDownEncoderBlock2D"] * 4),
        ("act_fn", "relu"),
    ],
)
def test_an_autoencoder_we_cannot_build_is_refused_by_field(field, value, refused):
    assert field in refused("vae", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", HUGE),
        ("vocab_size", 151936),
        ("intermediate_size", 97),
        ("head_dim", 16),
        ("num_attention_heads", 2),
        ("num_key_value_heads", 4),
        ("num_hidden_layers", 2),
        ("num_hidden_layers", 5),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 3.0),
        ("max_position_embeddings", 2**60),
        ("rms_norm_eps", "1e-6"),
        ("model_type", "llama"),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("use_sliding_window", True),
        ("layer_types", ["sliding_attention"] * 3),
        ("rope_parameters", {"rope_type": "yarn", "factor": 4.0}),
        ("rope_parameters", "yarn"),
        ("rope_parameters", {"rope_theta": -1.0}),
    ],
)
def test_a_text_encoder_we_cannot_build_is_refused_by_field(field, value, refused):
    words = "rope_type" if "yarn" in repr(value) else field
    words = "rope_theta" if "rope_theta" in repr(value) else words
    assert words in refused("text_encoder", **{field: value})


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (("layers.1.",), r"1 of the weights' 3 parts layers.N are missing \(layers.1\)"),
        (("noise_refiner.0.",), r"1 of the weights' 2 parts .* \(noise_refiner.0\)"),
        (("noise_refiner.",), "hold 0 parts noise_refiner.N, not 1 to 200"),
    ],
)
def test_layers_that_are_missing_are_named(gone, words, our_folder):
    shapes = open_model(our_folder).parts.transformer.bare_shapes
    left = {name: shape for name, shape in shapes.items() if not name.startswith(gone)}
    with pytest.raises(FileRejected, match=words):
        transformer_config(left, Declared({}, "x"))


def test_a_text_encoder_of_another_width_is_refused_with_both_widths(
    networks, our_folder, tmp_path
):
    wide = {**open_model(our_folder).text_encoder, "hidden_size": 56}
    save_folder(tmp_path, replace(networks, text_encoder=TextEncoder(wide)))
    with pytest.raises(FileRejected, match="is 56 wide, but the transformer expects 48"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("shift", 0), ("shift", "3"), ("use_dynamic_shifting", True), ("num_train_timesteps", 10)],
)
def test_a_schedule_we_do_not_follow_is_refused_by_field(field, value, our_folder, tmp_path):
    folder = Path(shutil.copytree(our_folder, tmp_path / "model"))
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(FileRejected, match=field):
        open_model(folder)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"dim": NaN}', '{"dim": 64, "dim": 64}', '{"a":' * 5000, "\xff", ""]
)
def test_a_configuration_that_is_no_plain_json_object_is_refused(text, our_folder, tmp_path):
    folder = Path(shutil.copytree(our_folder, tmp_path / "model"))
    (folder / "transformer/config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FileRejected, match=r"transformer/config\.json"):
        open_model(folder)


def test_a_configuration_of_many_megabytes_is_refused(our_folder, tmp_path):
    folder = Path(shutil.copytree(our_folder, tmp_path / "model"))
    path = folder / "vae/config.json"
    for text in ('{"a": "' + "x" * 2_000_000 + '"}', '{"a": [' + "{}," * 200_000 + "1]}"):
        path.write_text(text)
        with pytest.raises(FileRejected, match=r"more than|larger"):
            open_model(folder)
