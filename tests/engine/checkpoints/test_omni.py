"""A model that reads pictures is opened whole, and its vision encoder is its own."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from engine.checkpoints.convert import Conversion, convert
from engine.checkpoints.identity import EDIT, OMNI
from engine.checkpoints.info import describe
from engine.checkpoints.load import load_transformer, load_vision_encoder
from engine.checkpoints.open import Hints, open_model
from engine.errors import BadRequest, FileRejected, NotFound
from engine.quant.recipe import Form
from tests.tiny_omni import READER, VISION, omni_networks, save_tiny_omni

CPU = torch.device("cpu")


@pytest.fixture
def omni(tmp_path):
    folder = tmp_path / "omni"
    folder.mkdir()
    save_tiny_omni(folder)
    return folder


def test_a_saved_model_is_opened_as_it_was(omni, tmp_path):
    saved, checkpoint = omni_networks(tmp_path / "other"), open_model(omni)
    assert (checkpoint.transformer, checkpoint.vision) == (READER, VISION)
    assert checkpoint.variant.name == OMNI and checkpoint.variant_known
    vision = load_vision_encoder(checkpoint, torch.float32, CPU)
    transformer = load_transformer(checkpoint, torch.float32, CPU)
    for found, right in ((vision, saved.vision), (transformer, saved.transformer)):
        wanted = right.state_dict()
        assert found.state_dict().keys() == wanted.keys()
        assert all(
            torch.equal(w.half().float(), wanted[n].half().float())
            for n, w in found.state_dict().items()
        )


def test_a_model_that_reads_pictures_is_described_whole(omni):
    found = describe(omni)
    assert (found.part, found.variant, found.problems) == ("model", OMNI, ())
    assert found.precision["vision_encoder/encoder"] == "f16"


def test_a_file_called_edit_that_reads_pictures_is_the_editor(omni, tmp_path):
    path = tmp_path / "z-image-edit"
    omni.rename(path)
    assert open_model(path).variant.name == EDIT


@pytest.mark.parametrize("said", ["turbo", "base"])
def test_a_model_that_reads_pictures_is_no_plain_one(omni, said):
    with pytest.raises(BadRequest, match="has weights for reference pictures"):
        open_model(omni, hints=Hints(variant=said))


def test_a_missing_vision_encoder_is_named(omni):
    shutil.rmtree(omni / "siglip")
    with pytest.raises(NotFound, match="comes without vision encoder"):
        open_model(omni)


def test_a_missing_vision_encoder_is_taken_from_an_installed_model(omni, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(omni, bare)
    shutil.rmtree(bare / "siglip")
    found = open_model(bare, hints=Hints(homes=(omni,))).parts.vision
    assert found is not None and found.headers[0].path.is_relative_to(omni)


@pytest.mark.parametrize(
    ("file", "field", "value", "words"),
    [
        ("siglip/config.json", "hidden_size", 25, "hidden_size is 25, but the weights say 24"),
        ("siglip/config.json", "num_attention_heads", 5, "no 5 equal heads"),
        ("siglip/config.json", "hidden_act", "relu", "hidden_act is 'relu'"),
        ("siglip_processor/preprocessor_config.json", "patch_size", 14, "patch_size is 14"),
        ("siglip_processor/preprocessor_config.json", "max_num_patches", 10**9, "not a whole"),
        ("transformer/config.json", "siglip_feat_dim", 1152, "siglip_feat_dim is 1152"),
    ],
)
def test_what_the_weights_do_not_bear_out_is_refused(omni, file, field, value, words):
    path = omni / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(FileRejected, match=words):
        open_model(omni)


def test_a_converted_model_still_reads_pictures(omni, tmp_path):
    goal = tmp_path / "int8"
    convert(Conversion(source=omni, goal=goal, int8=True))
    before, after = open_model(omni), open_model(goal)
    assert after.vision == VISION and after.parts.transformer.stores_int8
    assert after.parts.vision is not None and before.parts.vision is not None
    assert after.parts.vision.digest == before.parts.vision.digest
    load_transformer(after, torch.float32, CPU, form=Form.INT8)
