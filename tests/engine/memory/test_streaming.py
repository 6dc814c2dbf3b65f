"""However a model lies in memory, it paints the same picture, bit for bit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.header import read_header
from engine.checkpoints.open import open_model
from engine.errors import Cancelled
from engine.lora.apply import Adapter
from engine.lora.file import read_lora
from engine.lora.match import match
from engine.memory.plan import Source
from engine.memory.residence import TEXT_ENCODER, TRANSFORMER
from engine.memory.studio import PREVIEW_FILE, Studio
from engine.request import Precision
from tests.engine.lora.writer import CORPUS, Book
from tests.engine.memory.streamed import latents_of, load, place_of, plan_of, read, sizes, slabs_of
from tests.tiny import TRANSFORMER as TINY
from tests.tiny import save_tiny_model

BLOCKS = ("context_refiner.0", "noise_refiner.0", "layers.0", "layers.1")
MODULATIONS = ("noise_refiner.0", "layers.0", "layers.1")
PARTS = ("attention", "feed_forward.w13", "feed_forward.w2")
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model whose preview need not be fitted; tests only read it."""
    made = tmp_path_factory.mktemp("streamed")
    save_tiny_model(made)
    save_file({"projection": torch.zeros(17, 3)}, made / PREVIEW_FILE)
    return made


@pytest.fixture(scope="module")
def checkpoint(folder) -> Checkpoint:
    return open_model(folder)


@pytest.fixture(scope="module")
def adapters(folder, tmp_path_factory) -> dict[str, Adapter]:
    """Adapters of every dialect."""
    shelf = tmp_path_factory.mktemp("adapters")
    entries = read_header(folder / WEIGHTS).tensors
    base = {name: torch.randn(entry.shape).double() for name, entry in entries.items()}
    found = {}
    for seed, (name, (write, _)) in enumerate(CORPUS.items()):
        book = Book(base, seed)
        write(book)
        lora = read_lora(book.save(shelf / name / f"{name}.safetensors"))
        found[name] = Adapter(match(lora, TINY), 0.7, True)
    return found


def pieces_of(checkpoint: Checkpoint, precision: Precision = Precision.FP32) -> list[str]:
    return [piece.name for piece in sizes(checkpoint, precision).pieces]


def subsets(precision: Precision) -> list[list[str]]:
    """Every set of blocks, in turns with and without modulations, whole or cut."""
    found = []
    for number, kept in enumerate(itertools.product((False, True), repeat=len(BLOCKS))):
        names = [f"{TRANSFORMER}.{block}" for block in itertools.compress(BLOCKS, kept)]
        if precision is Precision.INT8 and number % 3:
            names = [f"{name}.{part}" for name in names for part in PARTS]
        if number % 2:
            names += [f"{TRANSFORMER}.{block}.modulation" for block in MODULATIONS]
        found.append(names)
    return found


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_every_residency_gives_the_latents_of_the_plain_model_bit_for_bit(
    precision, checkpoint, tmp_path
):
    studio, sources = Studio(), itertools.cycle(Source)
    plain = latents_of(load(studio, checkpoint, precision, plan_of(()), tmp_path))
    for names in subsets(precision):
        plan = plan_of(names, next(sources))
        model = load(studio, checkpoint, precision, plan, tmp_path)
        assert set(slabs_of(model)) == set(names)
        assert torch.equal(latents_of(model), plain), names
    studio.forget()


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
@pytest.mark.parametrize("source", Source)
def test_a_model_of_which_everything_streams_paints_the_same(
    source, precision, checkpoint, tmp_path
):
    studio = Studio()
    plain = load(studio, checkpoint, precision, plan_of(()), tmp_path)
    prompts = read(plain)
    expected = latents_of(plain, prompts=prompts)
    with torch.inference_mode():
        picture = plain.vae_decode(expected.to(place_of(precision).dtype))
        encoded = plain.vae_encode(picture.float())
    plan = plan_of(pieces_of(checkpoint, precision), source, keep_encoder=False)
    model = load(studio, checkpoint, precision, plan, tmp_path)
    assert all(map(torch.equal, read(model), prompts))
    assert torch.equal(latents_of(model, prompts=prompts), expected)
    with torch.inference_mode():
        assert torch.equal(model.vae_decode(expected.to(place_of(precision).dtype)), picture)
        assert torch.equal(model.vae_encode(picture.float()), encoded)
    assert model.text_encoder is None
    assert not any(name.startswith(TEXT_ENCODER) for name in slabs_of(model))
    studio.forget()


@pytest.mark.parametrize("precision", list(Precision)[1:])
def test_slabs_have_the_sizes_that_were_predicted(precision, checkpoint, tmp_path):
    studio = Studio()
    expected = {piece.name: piece.bytes for piece in sizes(checkpoint, precision).pieces}
    model = load(studio, checkpoint, precision, plan_of(expected), tmp_path)
    read(model)
    assert slabs_of(model) == expected
    studio.forget()


@pytest.mark.parametrize("source", Source)
def test_adapters_act_in_a_streamed_model_as_in_a_plain_one(source, checkpoint, adapters, tmp_path):
    plain, streamed = Studio(), Studio()
    names = [name for name in pieces_of(checkpoint) if name.startswith(TRANSFORMER)]
    whole = load(plain, checkpoint, Precision.FP32, plan_of(()), tmp_path)
    model = load(streamed, checkpoint, Precision.FP32, plan_of(names, source), tmp_path)
    own, bare = slabs_of(model), latents_of(whole)
    for name, adapter in adapters.items():
        whole.adapt([adapter])
        model.adapt([adapter])
        assert torch.equal(latents_of(model), latents_of(whole)), name
        assert sum(slabs_of(model).values()) > sum(own.values()), name
    model.adapt([])
    assert slabs_of(model) == own
    assert torch.equal(latents_of(model), bare)
    streamed.forget()


def test_weights_of_adapters_change_in_their_slabs(checkpoint, adapters, tmp_path):
    studio = Studio()
    names = pieces_of(checkpoint)
    model = load(studio, checkpoint, Precision.FP32, plan_of(names), tmp_path)
    adapter = adapters["differences_of_vectors"]
    stronger = Adapter(adapter.found, 1.4, True)
    model.adapt([stronger])
    expected = latents_of(model)
    model.adapt([adapter])
    assert not torch.equal(latents_of(model), expected)
    model.adapt([stronger])
    assert torch.equal(latents_of(model), expected)
    studio.forget()


def test_one_copy_is_made_of_every_piece_in_every_visit_even_with_adapters(
    checkpoint, adapters, tmp_path, monkeypatch
):
    studio = Studio()
    names = [f"{TRANSFORMER}.{block}" for block in BLOCKS[1:]]
    model = load(studio, checkpoint, Precision.FP32, plan_of(names), tmp_path)
    model.adapt([adapters["kohya"]])
    sent = []
    feed = model.residence._ring._feed
    send = feed.send
    monkeypatch.setattr(feed, "send", lambda slab, slot: sent.append(slab.name) or send(slab, slot))
    latents_of(model)
    assert sent == names * 3
    studio.forget()


@pytest.mark.parametrize("source", [Source.PAGED, Source.FILE])
def test_a_job_that_was_stopped_leaves_the_next_one_right(source, checkpoint, tmp_path):
    studio = Studio()
    plan = plan_of(pieces_of(checkpoint), source)
    model = load(studio, checkpoint, Precision.FP32, plan, tmp_path)
    expected = latents_of(model)

    def stop(*_: object) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        latents_of(model, stop)
    hook = model.transformer.layers[0].attention.register_forward_pre_hook(stop)
    with pytest.raises(Cancelled):
        latents_of(model)
    hook.remove()
    assert torch.equal(latents_of(model), expected)
    studio.forget()


def test_slabs_in_a_file_are_written_once_and_said(checkpoint, tmp_path, monkeypatch):
    plan = plan_of([f"{TRANSFORMER}.{block}" for block in BLOCKS], Source.FILE)
    studio = Studio()
    first = load(studio, checkpoint, Precision.FP32, plan, tmp_path)
    expected = latents_of(first)
    (file,) = (tmp_path / "cache" / "slabs").iterdir()
    assert f"{file.stat().st_size / 1e9:.1f} GB were prepared for that, once" in first.notices[0]
    studio.forget()
    second = load(Studio(), checkpoint, Precision.FP32, plan, tmp_path)
    assert "an earlier start" in second.notices[0]
    assert torch.equal(latents_of(second), expected)
    second.close()
