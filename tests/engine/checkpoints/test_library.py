"""Models that the user pointed at are found again by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.checkpoints import library
from engine.checkpoints.library import Known, Library
from engine.errors import BadRequest, FileRejected, NotFound
from engine.variants import VARIANTS


@pytest.fixture
def shelf(tmp_path) -> Library:
    return Library(tmp_path / "data")


@pytest.fixture
def model(our_folder, tmp_path) -> Path:
    return Path(shutil.copytree(our_folder, tmp_path / "My Model"))


def test_a_model_is_found_by_its_folders_name(shelf, model):
    assert shelf.add(model) == Known("My Model", model, True)
    assert shelf.find("My Model") == model
    assert shelf.find("other") is None
    assert shelf.list() == (Known("My Model", model, True),)


def test_a_file_is_called_by_its_stem(shelf, model):
    path = (model / "transformer/diffusion_pytorch_model.safetensors").rename(
        model / "transformer/z_image_v1.2.safetensors"
    )
    assert shelf.add(path).name == "z_image_v1.2"


def test_names_are_unique_and_leave_the_variants_theirs(shelf, our_folder, tmp_path):
    for place, name in (("a", "turbo"), ("b", "turbo"), ("c", "_#_")):
        shutil.copytree(our_folder, tmp_path / place / name)
    added = [shelf.add(tmp_path / place).name for place in ("a/turbo", "b/turbo", "c/_#_")]
    assert added == ["turbo-2", "turbo-3", "model"]
    for name in ("turbo-2", *(variant.name for variant in VARIANTS), "demo"):
        with pytest.raises(BadRequest, match="already"):
            shelf.add(tmp_path / "c/_#_", name)


def test_the_same_model_twice_is_one(shelf, model):
    assert shelf.add(model, "mine") == shelf.add(model)
    assert len(shelf.list()) == 1
    shelf.add(model, "another")
    assert [known.name for known in shelf.list()] == ["mine", "another"]


@pytest.mark.parametrize("name", ["", " x", "a/b", "../x", "a\nb", "x" * 81, "-rf", "."])
def test_a_name_that_cannot_be_is_refused(name, shelf, model):
    with pytest.raises(BadRequest, match="cannot be called"):
        shelf.add(model, name)
    assert shelf.list() == ()


def test_a_model_that_has_gone_stays_listed_as_absent(shelf, model):
    shelf.add(model)
    shutil.rmtree(model)
    assert shelf.list() == (Known("My Model", model, False),)


def test_a_model_is_taken_off_the_list_and_left_on_the_disk(shelf, model):
    shelf.add(model)
    shelf.remove("My Model")
    assert shelf.list() == () and model.is_dir()
    with pytest.raises(NotFound, match="'My Model'"):
        shelf.remove("My Model")


def test_what_is_no_model_is_not_added(shelf, model, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(FileRejected, match="not a safetensors file"):
        shelf.add(tmp_path / "x.safetensors")
    with pytest.raises(NotFound, match="does not exist"):
        shelf.add(tmp_path / "absent")
    with pytest.raises(FileRejected, match="holds no transformer"):
        shelf.add(model / "vae/diffusion_pytorch_model.safetensors")
    assert shelf.list() == ()


@pytest.mark.parametrize("path", ["//evil.example/share/x", r"\\evil.example\share\x"])
def test_nothing_is_asked_of_another_computer(path, shelf, tmp_path, monkeypatch):
    with pytest.raises(BadRequest, match="another computer"):
        shelf.add(Path(path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / library.FILE).write_text(json.dumps({"far": path}))
    monkeypatch.setattr(Path, "exists", lambda self: pytest.fail(f"asked for {self}"))
    assert [known.is_here for known in shelf.list()] == [False]


def test_the_list_is_bounded(shelf, model, monkeypatch):
    monkeypatch.setattr(library, "MAX_MODELS", 2)
    for name in ("one", "two"):
        shelf.add(model, name)
    with pytest.raises(BadRequest, match="holds 2 models"):
        shelf.add(model, "three")


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', "\0"])
def test_a_damaged_list_is_said_and_left_alone(content, shelf, model, tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / library.FILE
    file.write_text(content)
    with pytest.raises(FileRejected, match=r"models\.json"):
        shelf.add(model)
    assert file.read_text() == content


def test_a_path_needs_no_list_so_a_damaged_one_is_not_in_its_way(shelf, model, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / library.FILE).write_text("{")
    assert shelf.find(str(model)) is None
    for name in ("mine", str(tmp_path / "absent"), "\0"):
        with pytest.raises(FileRejected, match=r"models\.json"):
            shelf.find(name)
