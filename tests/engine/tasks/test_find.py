"""A request's model is found by its name, or by the path of what the user has."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from engine.errors import Cancelled, FileRejected, NotFound, UserError
from engine.hub.record import Record, RecordedFile, folder_for, write_record
from engine.request import Precision, Request
from engine.settings import MODELS
from engine.tasks.find import check_download, find_model, lora_path, model_path
from engine.variants import VARIANTS, by_name
from tests.engine.test_run_adapters import write_lora


def asked(model: str, **more) -> Request:
    return Request(prompt="x", model=str(model), **more)


def install(model, variant: str, precision: Precision, data_dir):
    """Put a tiny model where a downloaded one would lie."""
    folder = folder_for(by_name(variant), precision, data_dir / MODELS)
    shutil.copytree(model, folder)
    (folder / "model_index.json").unlink(missing_ok=True)
    files = tuple(
        RecordedFile(
            to=path.relative_to(folder).as_posix(), source="a/b", size=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*")) if path.is_file()
    )  # fmt: skip
    write_record(folder, Record(variant=variant, precision=precision, complete=True, files=files))
    return folder


def test_a_model_is_found_by_path(tiny_model, tmp_path):
    assert find_model(asked(tiny_model), tmp_path).path == tiny_model


def test_a_downloaded_model_is_found_by_its_name(tiny_model, tmp_path):
    folder = install(tiny_model, "turbo", Precision.BF16, tmp_path)
    found = find_model(asked("turbo"), tmp_path)
    assert (found.path, found.variant.name, found.variant_known) == (folder, "turbo", True)


def test_a_download_that_changed_is_refused_with_the_way_to_mend_it(tiny_model, tmp_path):
    folder = install(tiny_model, "turbo", Precision.BF16, tmp_path)
    found = find_model(asked("turbo"), tmp_path)
    check_download(found, tmp_path)
    (weights,) = (folder / "vae").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(FileRejected, match=r"vae/.*models download turbo --precision bf16"):
        check_download(found, tmp_path)


def test_of_two_copies_that_of_the_wanted_precision_is_taken(tiny_model, tmp_path):
    whole = install(tiny_model, "turbo", Precision.BF16, tmp_path)
    small = install(tiny_model, "turbo", Precision.INT8, tmp_path)
    assert model_path("turbo", tmp_path, Precision.INT8) == small
    assert model_path("turbo", tmp_path, Precision.BF16) == whole


def test_a_file_without_encoder_takes_it_from_a_model_that_is_installed(tiny_model, tmp_path):
    install(tiny_model, "turbo", Precision.BF16, tmp_path)
    alone = tmp_path / "elsewhere" / "z_image_base.safetensors"
    alone.parent.mkdir()
    (weights,) = (tiny_model / "transformer").glob("*.safetensors")
    shutil.copy(weights, alone)
    config = json.loads((tiny_model / "transformer" / "config.json").read_text())
    (alone.parent / "config.json").write_text(json.dumps(config))
    found = find_model(asked(alone), tmp_path)
    assert found.path == alone
    assert MODELS in str(found.tokenizer)


def test_a_model_without_weights_says_how_to_fetch_them(tmp_path):
    with pytest.raises(NotFound, match=r"python app\.py models download turbo"):
        find_model(asked("turbo"), tmp_path)


@pytest.mark.parametrize("name", [v.name for v in VARIANTS if v.unavailable])
def test_a_model_that_nobody_published_says_so(name, tmp_path):
    with pytest.raises(NotFound, match="not been published"):
        find_model(asked(name), tmp_path)


def test_a_model_that_is_neither_name_nor_path_lists_the_names(tmp_path):
    with pytest.raises(NotFound, match=r"no model 'nonesuch'\. Choose one of demo-turbo"):
        find_model(asked("nonesuch"), tmp_path)


def test_a_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="models download base"):
        find_model(asked("base"), tmp_path)


def test_a_variant_that_the_user_names_holds(tiny_model, tmp_path):
    assert find_model(asked(tiny_model, variant="base"), tmp_path).variant.name == "base"


@pytest.fixture
def two_inks(tmp_path, monkeypatch):
    """An adapter in the folder, and one of the same name where the program runs."""
    folder = tmp_path / "loras"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for place in (folder, tmp_path):
        write_lora(place / "ink.safetensors")
    return folder


@pytest.mark.parametrize("name", ["ink", "ink.safetensors"])
def test_a_bare_name_of_an_adapter_means_the_folder(name, two_inks):
    assert lora_path(name, two_inks) == two_inks / "ink.safetensors"


def test_a_path_of_an_adapter_means_itself(two_inks, tmp_path):
    assert lora_path("./ink.safetensors", two_inks).resolve() == tmp_path / "ink.safetensors"
    (two_inks / "ink.safetensors").unlink()
    assert lora_path("ink.safetensors", two_inks) == Path("ink.safetensors")


def test_a_path_to_no_adapter_is_named_as_it_was_given(tmp_path):
    with pytest.raises(NotFound, match=r"There is no file .*nothere\.safetensors"):
        lora_path(str(tmp_path / "nothere.safetensors"), tmp_path)


def test_a_folder_here_hides_no_adapter_there(two_inks):
    Path("style").mkdir()
    write_lora(two_inks / "style.safetensors")
    assert lora_path("style", two_inks) == two_inks / "style.safetensors"


@pytest.mark.parametrize("name", ["//nas/x.safetensors", r"\\nas\x.safetensors"])
def test_another_computer_is_not_asked(name, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os.path, "lexists", lambda path: asked.append(path))
    with pytest.raises(UserError):
        lora_path(name, tmp_path)
    with pytest.raises(UserError):
        model_path(name, tmp_path)
    assert asked == []


def test_checking_a_download_ends_when_it_is_cancelled(tiny_model, tmp_path):
    install(tiny_model, "turbo", Precision.BF16, tmp_path)
    found = find_model(asked("turbo"), tmp_path)
    with pytest.raises(Cancelled):
        check_download(found, tmp_path, cancelled=lambda: True)
