"""The resident model is the one whose files lie there, and nothing odd beside them is trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.header import read_header
from engine.checkpoints.open import open_model
from engine.errors import FileRejected
from engine.memory import studio as studio_module
from engine.memory.malloc import give_back
from engine.memory.probe import anonymous_gib
from engine.memory.studio import PREVIEW_FILE, Model, Place, Studio
from engine.request import Precision
from tests.tiny import save_tiny_model

HERE = Place(device="cpu", precision=Precision.FP32)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model folder that a test may spoil."""
    save_tiny_model(tmp_path)
    return tmp_path


def model_in(folder: Path, studio: Studio, place: Place = HERE) -> Model:
    return studio.model(open_model(folder), place, lambda: None)


def test_a_model_stays_while_its_files_and_its_place_do(folder):
    studio = Studio()
    first = model_in(folder, studio)
    assert model_in(folder, studio) is first
    assert model_in(folder, studio, Place(device="cpu", precision=Precision.BF16)) is not first


def test_a_weight_that_no_sample_saw_makes_another_model(folder):
    studio = Studio()
    first = model_in(folder, studio)
    digest = open_model(folder).digest
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    last = max(tensor.end for tensor in read_header(path).tensors.values())
    with path.open("r+b") as file:
        file.seek(last - 2)
        file.write(b"\0\0")
    assert open_model(folder).digest == digest
    second = model_in(folder, studio)
    ours, theirs = first.transformer.state_dict(), second.transformer.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] != []


def test_another_tokenizer_makes_another_model(folder):
    studio = Studio()
    before = model_in(folder, studio).tokenizer.encode("ab").ids
    path = folder / "tokenizer/tokenizer.json"
    described = json.loads(path.read_text())
    vocabulary = described["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(described))
    assert model_in(folder, studio).tokenizer.encode("ab").ids == before[::-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_projection_beside_a_model_is_taken(folder, dtype):
    save_file({"projection": torch.zeros(17, 3, dtype=dtype)}, folder / PREVIEW_FILE)
    assert projection(folder).eq(0).all()


@pytest.mark.parametrize(
    "held",
    [
        {"something": torch.zeros(17, 3)},
        {"projection": torch.zeros(17, 4)},
        {"projection": torch.zeros(51)},
        {"projection": torch.zeros(17, 3, dtype=torch.int8)},
    ],
)
def test_a_file_of_that_name_with_something_else_is_left_alone(folder, held):
    fitted = projection(folder)
    save_file(held, folder / PREVIEW_FILE)
    assert torch.equal(projection(folder), fitted)


def test_a_damaged_projection_is_refused_with_the_reason(folder):
    (folder / PREVIEW_FILE).write_bytes(b"{}")
    with pytest.raises(FileRejected, match=r"preview\.safetensors"):
        model_in(folder, Studio())


def projection(folder: Path) -> torch.Tensor:
    return model_in(folder, Studio()).preview._projection


def test_freed_memory_is_given_back_while_a_model_loads(folder, monkeypatch):
    given, checked = [], []
    monkeypatch.setattr(studio_module, "give_back", lambda: given.append(len(checked)))
    Studio().model(open_model(folder), HERE, lambda: checked.append(None))
    assert given == list(range(16, len(checked) + 1, 16))
    assert given


def test_giving_memory_back_shrinks_the_process():
    pieces = [bytearray(100_000) for _ in range(1000)]
    last = bytearray(100_000)
    del pieces
    before = anonymous_gib()
    give_back()
    assert anonymous_gib() <= before
    assert last


def test_int8_asks_the_card_it_runs_on_for_bfloat16(monkeypatch):
    capabilities = {torch.device("cuda:0"): (8, 6), torch.device("cuda:1"): (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.get)
    assert Place(device="cuda:0", precision=Precision.INT8).dtype is torch.bfloat16
    assert Place(device="cuda:1", precision=Precision.INT8).dtype is torch.float32
