"""Which variant a model is, is decided by what says so surest; answers are remembered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from engine.checkpoints import memory
from engine.checkpoints.identity import named_variant
from engine.checkpoints.memory import remember, remembered
from engine.checkpoints.open import Hints, open_model
from engine.errors import BadRequest, NotFound
from engine.variants import by_name
from tests.engine.checkpoints import layouts


@pytest.fixture(scope="module")
def source(tokenizer_folder, tmp_path_factory) -> Path:
    return layouts.save_public(tmp_path_factory.mktemp("public"), tokenizer_folder)


@pytest.fixture
def silent(source, tmp_path) -> Path:
    """A file that says nothing of its variant."""
    return layouts.LAYOUTS["original names"](source, tmp_path)


def identity(path: Path, **hints: object) -> tuple[str, bool, float]:
    checkpoint = open_model(path, hints=Hints(**hints))
    return checkpoint.variant.name, checkpoint.variant_known, checkpoint.shift


def with_metadata(path: Path, **metadata: str) -> Path:
    save_file(load_file(path), path, metadata)
    return path


def test_where_nothing_tells_turbo_is_assumed_and_said_to_be(silent):
    assert identity(silent) == ("turbo", False, 3.0)


def test_what_the_user_says_goes_first_and_brings_its_schedule(silent):
    path = with_metadata(silent, variant="turbo").rename(silent.parent / "turbo.safetensors")
    assert identity(path, variant="base") == ("base", True, 6.0)
    with pytest.raises(NotFound, match="'nonesuch'"):
        identity(path, variant="nonesuch")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("omni-base", "has no weights for reference pictures; it cannot be omni-base"),
        ("demo-base", "has not the size of the Demo models; it cannot be demo-base"),
    ],
)
def test_a_variant_that_the_weights_cannot_be_is_refused(said, words, silent):
    with pytest.raises(BadRequest, match=words):
        identity(silent, variant=said)


def test_no_note_lets_a_model_change_its_family(silent):
    with pytest.raises(BadRequest, match="is demo-turbo; it cannot be base"):
        identity(with_metadata(silent, variant="demo-turbo"), variant="base")
    with pytest.raises(BadRequest, match="is turbo; it cannot be demo-base"):
        identity(with_metadata(silent, variant="turbo"), variant="demo-base")


def test_what_was_delivered_as_a_variant_is_no_other(source, tmp_path):
    demo = by_name("demo-turbo").folder
    assert identity(demo, variant="demo")[0] == "demo-turbo"
    with pytest.raises(BadRequest, match="is demo-turbo; it cannot be demo-base"):
        identity(demo, variant="demo-base")
    copied = Path(shutil.copytree(demo, tmp_path / "copy"))
    assert identity(copied, variant="demo-base")[0] == "demo-base"
    downloaded = layouts.as_folder(source, tmp_path)
    (downloaded / "download.json").write_text(json.dumps({"variant": "turbo"}))
    assert identity(downloaded, variant="turbo")[0] == "turbo"
    with pytest.raises(BadRequest, match="is turbo; it cannot be base"):
        identity(downloaded, variant="base")


def test_metadata_goes_before_the_schedule(silent):
    scheduler = silent.parent / "scheduler/scheduler_config.json"
    scheduler.parent.mkdir()
    scheduler.write_text(json.dumps({"shift": 6.0}))
    assert identity(silent) == ("base", True, 6.0)
    assert identity(with_metadata(silent, variant="demo-turbo")) == ("demo-turbo", True, 6.0)


def test_the_schedule_goes_before_the_name(silent):
    (silent.parent / "scheduler_config.json").write_text(json.dumps({"shift": 3.0}))
    path = silent.rename(silent.parent / "z_image_base.safetensors")
    assert identity(path) == ("turbo", True, 3.0)


def test_a_file_in_a_folder_of_loose_parts_tells_before_the_folder(source, tmp_path):
    model = layouts.as_loose_parts(source, tmp_path).rename(tmp_path / "my_turbo")
    assert identity(model)[:2] == ("turbo", True)
    (model / "one.safetensors").rename(model / "my_base_mix.safetensors")
    assert identity(model) == ("base", True, 6.0)


@pytest.mark.parametrize("key", ["modelspec.title", "modelspec.architecture", "general.name"])
def test_a_title_in_the_metadata_tells(key, silent):
    assert identity(with_metadata(silent, **{key: "Z-Image-Base"}))[:2] == ("base", True)


def test_what_a_download_left_word_of_tells(source, tmp_path):
    model = layouts.as_folder(source, tmp_path)
    record = model / "download.json"
    record.write_text(json.dumps({"variant": "twinflow-turbo"}))
    assert identity(model) == ("twinflow-turbo", True, 3.0)
    for damaged in ("{", '{"variant": 7}', '{"variant": "nonesuch"}'):
        record.write_text(damaged)
        assert identity(model)[:2] == ("turbo", True)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("z_image_turbo_bf16.safetensors", "turbo"),
        ("ZImageTurbo_quanto_bf16_int8", "turbo"),
        ("ZImageBase_bf16.safetensors", "base"),
        ("ZImageOmnibase_quanto_bf16_int8.safetensors", "base"),
        ("z_image_de_turbo_v1_bf16.safetensors", "de-turbo"),
        ("Z-Image-DeTurbo", "de-turbo"),
        ("TwinFlow-Z-Image-Turbo_bf16.safetensors", "twinflow-turbo"),
        ("twin_flow.safetensors", "twinflow-turbo"),
        ("svdq-int4_r256-z-image-turbo.safetensors", "turbo"),
        ("Z-Image-DeTurboV2", "de-turbo"),
        ("zimagedeturbo", "de-turbo"),
        ("zimagebase.safetensors", "base"),
        ("BASE", "base"),
        ("handmade_turbo", "turbo"),
        ("my_basement_pictures.safetensors", None),
        ("my_database_v2.safetensors", None),
        ("z_image_edit.safetensors", None),
        ("model.safetensors", None),
        ("", None),
    ],
)
def test_names_tell_variants(name, variant):
    assert named_variant(name) == variant


def test_an_answer_is_remembered_by_content_and_not_by_name(silent, tmp_path):
    data = tmp_path / "data"
    digest = open_model(silent).parts.transformer.digest
    remember(digest, "base", data)
    moved = silent.rename(silent.parent / "other.safetensors")
    assert identity(moved, data=data) == ("base", True, 6.0)
    assert identity(moved) == ("turbo", False, 3.0)
    assert identity(moved.rename(moved.parent / "turbo.safetensors"), data=data)[0] == "base"


def test_an_answer_goes_before_guesses_but_not_before_what_the_file_says(silent, tmp_path):
    data = tmp_path / "data"
    (silent.parent / "scheduler_config.json").write_text(json.dumps({"shift": 6.0}))
    guessed = with_metadata(silent, **{"modelspec.title": "Z-Image-Base"})
    remember(open_model(guessed).parts.transformer.digest, "turbo", data)
    assert identity(guessed, data=data)[0] == "turbo"
    said = with_metadata(silent, variant="base")
    remember(open_model(said).parts.transformer.digest, "turbo", data)
    assert identity(said, data=data)[0] == "base"


def test_answers_are_bounded_and_the_oldest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MAX_ANSWERS", 2)
    for digest in ("a", "b", "a", "c"):
        remember(digest, "base", tmp_path)
    assert [remembered(d, tmp_path) for d in "abc"] == ["base", None, "base"]


def test_a_changed_answer_replaces_the_former(tmp_path):
    remember("a", "base", tmp_path)
    remember("a", "turbo", tmp_path)
    assert remembered("a", tmp_path) == "turbo"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "nonesuch", "b": 7, "c": ["base"]}'])
def test_damaged_answers_are_none(content, tmp_path):
    (tmp_path / memory.FILE).write_text(content)
    assert [remembered(digest, tmp_path) for digest in "abc"] == [None, None, None]
    remember("d", "base", tmp_path)
    assert remembered("d", tmp_path) == "base"
