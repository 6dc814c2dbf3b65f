from __future__ import annotations

import pytest
import torch

from engine.lora.apply import apply
from engine.lora.file import read_lora
from engine.lora.match import match, require
from tests.engine.lora.models import CONFIG, effective, fitted, ours, paint, transformer_of
from tests.engine.lora.writer import CORPUS, Book

BOUND = 1e-5


def written(name, base, folder, dtype=None):
    """An adapter of the corpus: the book, and its file."""
    book = Book(base, seed=sum(map(ord, name)))
    CORPUS[name][0](book)
    return book, read_lora(book.save(folder / name / "adapter_model.safetensors", dtype))


def difference(found, expected):
    """Largest difference of any weight, relative to the largest number of that weight."""
    assert found.keys() == expected.keys()
    return max(
        ((found[name] - weight).abs().max() / weight.abs().max()).item()
        for name, weight in expected.items()
    )


def test_the_corpus_holds_every_dialect():
    assert len(CORPUS) >= 20
    assert len({dialect for _, dialect in CORPUS.values()}) == 10


@pytest.mark.parametrize("weight", [1.0, -0.7])
@pytest.mark.parametrize("name", CORPUS)
def test_every_dialect_equals_merging_in_float64(name, weight, base, transformer, tmp_path):
    book, lora = written(name, base, tmp_path)
    adapter = fitted(lora, weight)
    apply(transformer, [adapter])
    assert lora.dialect == CORPUS[name][1]
    assert adapter.found.matched == adapter.found.total > 0
    assert difference(effective(transformer), ours(book.merged(weight))) <= BOUND


@pytest.mark.parametrize("name", ["kohya", "comfy_native", "one_trainer_dora", "lycoris_lokr"])
def test_a_picture_is_that_of_the_merged_model(name, base, transformer, tmp_path):
    book, lora = written(name, base, tmp_path)
    apply(transformer, [fitted(lora, 0.3)])
    found = paint(transformer, torch.float32).double()
    expected = paint(transformer_of(book.merged(0.3), torch.float64), torch.float64)
    assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read_as_they_stand(dtype, base, transformer, tmp_path):
    book, lora = written("kohya", base, tmp_path, dtype)
    apply(transformer, [fitted(lora)])
    for name in book.deltas:
        stem = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
        up, down = (
            book.tensors[f"{stem}.{role}.weight"].to(dtype).double()
            for role in ("lora_up", "lora_down")
        )
        book.deltas[name] = 0.25 * up @ down
    assert difference(effective(transformer), ours(book.merged())) <= BOUND


def test_float8_files_are_read_as_they_stand(base, transformer, tmp_path):
    book, lora = written("diffsynth", base, tmp_path, torch.float8_e4m3fn)
    apply(transformer, [fitted(lora)])
    for name in book.deltas:
        stem = name.removesuffix(".weight")
        up, down = (book.tensors[f"{stem}.lora_{side}.default.weight"] for side in "BA")
        rounded = [part.to(torch.float8_e4m3fn).double() for part in (up, down)]
        book.deltas[name] = rounded[0] @ rounded[1]
    assert difference(effective(transformer), ours(book.merged())) <= BOUND


def test_what_is_stated_twice_counts_once_and_acts_once(base, tmp_path):
    _, lora = written("dotted_with_duplicates", base, tmp_path)
    found = match(lora, CONFIG)
    assert (found.matched, found.total) == (8, 8)
    spelled = {name.replace("to_out.0", "out") for name in found.duplicates}
    assert len(found.duplicates) == len(spelled) == 4
    assert {name.rpartition(".")[2] for name in spelled} == {"qkv", "out"}
    assert "4 modules are stated twice" in require(found)[0]


@pytest.mark.parametrize("also", ["ai_toolkit", "one_trainer", "kohya_alpha_in_metadata"])
def test_one_adapter_in_two_dialects_counts_once_and_acts_once(also, base, transformer, tmp_path):
    book, lora = written("diffsynth", base, tmp_path)
    both, _ = written(also, base, tmp_path)
    book.tensors |= both.tensors
    lora = read_lora(book.save(tmp_path / "both.safetensors"))
    found = match(lora, CONFIG)
    assert (found.matched, found.total, len(found.duplicates)) == (11, 11, 11)
    apply(transformer, [fitted(lora)])
    one_of = [difference(effective(transformer), ours(b.merged())) for b in (book, both)]
    assert min(one_of) <= BOUND < max(one_of)


def test_modules_of_a_text_encoder_are_counted_apart(base, tmp_path):
    _, lora = written("with_text_encoder", base, tmp_path)
    adapter = fitted(lora)
    assert len(adapter.found.text_encoder) == 3
    assert "text encoder (3 modules)" in adapter.notices[0]
