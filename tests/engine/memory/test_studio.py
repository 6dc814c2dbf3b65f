"""The resident model is the one whose files lie there, and nothing odd beside them is trusted."""

from __future__ import annotations

import json
import random
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.header import read_header
from engine.checkpoints.open import open_model
from engine.errors import Cancelled, FileRejected
from engine.lora.apply import Adapter
from engine.lora.file import read_lora
from engine.lora.match import match
from engine.memory import studio as studio_module
from engine.memory.malloc import give_back
from engine.memory.plan import Plan, Source
from engine.memory.probe import anonymous_gib
from engine.memory.studio import PREVIEW_FILE, Model, Place, Studio
from engine.request import Precision
from tests.engine.lora.writer import CORPUS, Book
from tests.engine.memory.streamed import latents_of, plan_of
from tests.engine.memory.streamed import sizes as sizes_of_model
from tests.tiny import TRANSFORMER, save_tiny_model

HERE = Place(device="cpu", precision=Precision.FP32)
PRECISIONS = (Precision.FP32, Precision.BF16, Precision.INT8)


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


@pytest.fixture
def quick(folder) -> Path:
    """A model whose preview need not be fitted."""
    save_file({"projection": torch.zeros(17, 3)}, folder / PREVIEW_FILE)
    return folder


def planned(folder: Path, studio: Studio, plan: Plan) -> Model:
    return studio.model(open_model(folder), HERE, lambda: None, plan, folder / "data")


def test_a_model_stays_while_it_lies_as_planned(quick):
    studio = Studio()
    plan = plan_of(["transformer.layers.0"])
    first = planned(quick, studio, plan)
    for same in (replace(plan, batch=2, peak_bytes=5), replace(plan, slot_bytes=10**6), plan):
        assert planned(quick, studio, same) is first
        assert first.plan == same
    assert studio.kept_plan(first.checkpoint, HERE) == plan
    other = Place(device="cpu", precision=Precision.BF16)
    assert studio.kept_plan(first.checkpoint, other) is None
    for another in (
        plan_of(["transformer.layers.1"]),
        plan_of(["transformer.layers.0"], Source.FILE),
        replace(plan, slots=3),
        plan_of([]),
    ):
        kept = studio._model
        assert planned(quick, studio, another) is not kept
    studio.forget()
    assert studio.kept_plan(first.checkpoint, HERE) is None


def test_the_encoder_is_loaded_when_a_prompt_is_read_and_goes_where_there_is_no_room(quick):
    studio = Studio()
    kept, dropped = plan_of([]), plan_of([], keep_encoder=False)
    model = planned(quick, studio, kept)
    assert model.text_encoder is None
    with torch.inference_mode():
        first = model.features(torch.arange(5)[None])
    encoder = model.text_encoder
    assert encoder is not None
    assert not any(parameter.is_inference() for parameter in encoder.parameters())
    assert planned(quick, studio, dropped) is model
    assert model.text_encoder is None
    assert torch.equal(model.features(torch.arange(5)[None]), first)
    assert model.text_encoder is None


def test_an_encoder_that_cannot_be_loaded_leaves_nothing_behind(quick):
    studio = Studio()
    names = [f"text_encoder.model.layers.{number}" for number in range(2)]
    model = planned(quick, studio, plan_of(names, Source.FILE))

    def stop() -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        model.features(torch.arange(5)[None], stop)
    assert model.text_encoder is None
    assert not [*(quick / "data/cache/slabs").glob("*")]
    features = model.features(torch.arange(5)[None])
    assert features.shape == (1, 5, TRANSFORMER.cap_feat_dim)
    studio.forget()


def test_a_file_of_slabs_that_was_cut_short_is_written_anew(quick):
    studio = Studio()
    plan = plan_of(["transformer.layers.0", "transformer.layers.1"], Source.FILE)
    expected = latents_of(planned(quick, studio, plan))
    (file,) = (quick / "data/cache/slabs").iterdir()
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 100)
    with pytest.raises(FileRejected, match="cut short while in use"):
        latents_of(planned(quick, studio, plan))
    assert torch.equal(latents_of(planned(quick, studio, plan)), expected)
    studio.forget()


def test_the_table_of_embeddings_may_lie_elsewhere_than_the_layers(quick, monkeypatch):
    model = model_in(quick, Studio())
    encoder = model._read_encoder(lambda: None)
    table, ids = encoder.model.embed_tokens, torch.arange(5)[None]
    expected, asked = encoder(ids), []
    monkeypatch.setattr(
        type(table), "forward", lambda self, rows: asked.append(rows) or self.weight[rows]
    )
    assert torch.equal(encoder(ids), expected)
    assert torch.equal(asked[0], ids)


def test_fifty_switches_leave_one_model_alive_and_no_memory_behind(quick, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save_tiny_model(other, seed=2, shift=6.0)
    save_file({"projection": torch.zeros(17, 3)}, other / PREVIEW_FILE)
    chance, studio, born = random.Random(3), Studio(), []
    adapter = adapter_for(quick, tmp_path / "adapter")
    checkpoints = [open_model(quick), open_model(other)]
    sizes = []
    for switch in range(50):
        checkpoint, precision = chance.choice(checkpoints), chance.choice(PRECISIONS)
        source = chance.choice(list(Source))
        names = [piece.name for piece in sizes_of_model(checkpoint, precision).pieces]
        plan = plan_of(chance.sample(names, chance.choice([0, 0, len(names) // 2])), source)
        place = Place(device="cpu", precision=precision)
        model = studio.model(checkpoint, place, lambda: None, plan, tmp_path)
        model.adapt([adapter] if switch % 3 else [])
        model.features(torch.arange(5)[None])
        born.append(weakref.ref(model.transformer))
        del model
        assert len({id(ref()) for ref in born if ref() is not None}) == 1
        if switch in {15, 49}:
            give_back()
            sizes.append(anonymous_gib())
    assert sizes[1] - sizes[0] <= 0.02
    studio.forget()
    assert all(ref() is None for ref in born)


def adapter_for(folder: Path, shelf: Path) -> Adapter:
    entries = read_header(folder / "transformer/diffusion_pytorch_model.safetensors").tensors
    book = Book({name: torch.randn(entry.shape).double() for name, entry in entries.items()})
    CORPUS["comfy_native"][0](book)
    shelf.mkdir()
    return Adapter(match(read_lora(book.save(shelf / "a.safetensors")), TRANSFORMER), 1.0, True)


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


class Lying:
    """A tensor of which nothing matters but where it lies."""

    def __init__(self, device):
        self.device = device

    def to(self, device):
        return Lying(device)


def test_captions_that_are_kept_take_nothing_of_the_device(folder):
    place = Place(device="cuda", precision=Precision.FP32)
    model = replace(model_in(folder, Studio()), place=place)
    model.remember("a fox", "", Lying("cuda"))
    assert model.captions["a fox", ""].device == "cpu"
    assert model.recall("a fox", "").device == "cuda"
    assert model.recall("a wolf", "") is None
