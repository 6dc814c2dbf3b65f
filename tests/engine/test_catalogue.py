"""The models and adapters on offer, as the page lists them."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from engine import Availability, Settings, Verdict, errors
from engine.service.catalogue import Catalogue
from engine.storage import project_root
from tests.engine.test_run_adapters import write_lora


@pytest.fixture
def catalogue(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", lora_folder=tmp_path / "loras")
    settings.data_dir.mkdir()
    settings.lora_folder.mkdir()
    return Catalogue(settings)


def entry(catalogue, name: str):
    return next(entry for entry in catalogue.models() if entry.name == name)


def test_what_is_here_comes_first(catalogue):
    states = [model.availability for model in catalogue.models()]
    assert states == sorted(states, key=lambda state: state is not Availability.HERE)
    assert entry(catalogue, "demo-turbo").availability is Availability.HERE
    assert entry(catalogue, "turbo").availability is Availability.FETCH
    assert entry(catalogue, "edit").availability is Availability.NOWHERE
    assert "published" in entry(catalogue, "edit").note


def test_an_entry_says_what_a_model_takes(catalogue):
    demo = entry(catalogue, "demo-turbo")
    assert demo.precision == "f16"
    assert demo.size > 12_000_000
    assert entry(catalogue, "turbo").size > 10**9


def test_a_file_of_ones_own_is_listed_under_its_name(catalogue, tiny_model, tmp_path):
    own = shutil.copytree(tiny_model, tmp_path / "my model")
    added = catalogue.add(own)
    assert (added.name, added.added, added.variant.name) == ("my model", True, "turbo")
    assert entry(catalogue, "my model") == added
    shutil.rmtree(own)
    gone = entry(catalogue, "my model")
    assert gone.availability is Availability.DAMAGED
    assert gone.note
    catalogue.remove("my model")
    assert "my model" not in {model.name for model in catalogue.models()}


def test_a_damaged_list_is_shown_and_hides_no_other_model(catalogue, tiny_model, tmp_path):
    (tmp_path / "data/models.json").write_text("{")
    damage = [model for model in catalogue.models() if model.availability is Availability.DAMAGED]
    assert ["models.json" in model.note for model in damage] == [True]
    assert not damage[0].added
    assert entry(catalogue, "demo-turbo").availability is Availability.HERE
    assert catalogue.look(str(tiny_model)).availability is Availability.HERE


def test_a_users_answer_is_remembered(catalogue, tiny_model, tmp_path):
    own = shutil.copytree(tiny_model, tmp_path / "mine")
    (own / "scheduler" / "scheduler_config.json").unlink()
    assert not catalogue.add(own).sure
    catalogue.settle("mine", "base")
    settled = entry(catalogue, "mine")
    assert (settled.variant.name, settled.sure) == ("base", True)
    with pytest.raises(errors.NotFound):
        catalogue.settle("mine", "nonesuch")


def test_a_path_is_described_like_a_model_of_the_list(catalogue, tiny_model, tmp_path):
    own = shutil.copytree(tiny_model, tmp_path / "mine")
    looked = catalogue.look(str(own))
    assert (looked.name, looked.title, looked.sure) == (str(own), "mine", True)
    assert catalogue.look("demo-turbo") == entry(catalogue, "demo-turbo")
    with pytest.raises(errors.NotFound):
        catalogue.look("nonesuch")


def test_the_picture_beside_an_adapter_is_its_thumbnail(catalogue, tmp_path):
    write_lora(tmp_path / "loras" / "ink.safetensors")
    assert catalogue.lora_thumbnail("ink.safetensors") is None
    Image.new("RGB", (400, 300)).save(tmp_path / "loras" / "ink.png")
    with Image.open(io.BytesIO(catalogue.lora_thumbnail("ink.safetensors"))) as picture:
        assert (picture.format, max(picture.size)) == ("JPEG", 256)


def test_adapters_are_listed_and_reported_on(catalogue, tiny_model, tmp_path):
    write_lora(tmp_path / "loras" / "ink.safetensors")
    (found,) = catalogue.loras()
    report = catalogue.lora(found.name, str(tiny_model))
    assert (report.verdict, report.matched, report.total) == (Verdict.FITS, 1, 1)
    assert catalogue.lora(found.name, "demo-turbo").verdict is Verdict.NOT


def test_listing_models_needs_no_torch():
    code = (
        "import sys; from engine import Catalogue, Settings; "
        "Catalogue(Settings()).models(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project_root()).returncode == 0
