"""Adapters written by the reference library itself, and read back by it."""

from __future__ import annotations

import pytest
from diffusers import ZImagePipeline

from engine.lora.apply import apply
from engine.lora.file import read_lora
from tests.engine.lora.models import effective, fitted, ours
from tests.engine.lora.writer import CORPUS, USUAL, Book


def test_a_file_of_diffusers_is_read(base, transformer, tmp_path):
    book = Book(base, seed=4)
    for name in USUAL:
        book.low_rank(name, name, 4, scale=0.75)
    ZImagePipeline.save_lora_weights(
        str(tmp_path),
        transformer_lora_layers=book.tensors,
        transformer_lora_adapter_metadata={"r": 4, "lora_alpha": 3},
    )
    (path,) = tmp_path.iterdir()
    lora = read_lora(path)
    assert lora.dialect == "diffusers"
    assert {(change.rank, change.alpha) for change in lora.changes} == {(4, 3.0)}
    apply(transformer, [fitted(lora)])
    expected, found = ours(book.merged()), effective(transformer)
    for name, weight in expected.items():
        assert (found[name] - weight).abs().max() <= 1e-5 * weight.abs().max(), name


@pytest.mark.parametrize("write", ["kohya", "kohya_fused", "ai_toolkit", "diffsynth"])
def test_what_diffusers_reads_we_read_the_same(write, base, transformer, tmp_path):
    book = Book(base, seed=5)
    CORPUS[write][0](book)
    path = book.save(tmp_path / "one.safetensors")
    state = ZImagePipeline.lora_state_dict(str(path))
    merged = dict(base)
    for name in (n.removesuffix(".lora_A.weight") for n in state if n.endswith("lora_A.weight")):
        up, down = state[f"{name}.lora_B.weight"].double(), state[f"{name}.lora_A.weight"].double()
        plain = f"{name.removeprefix('transformer.')}.weight"
        merged[plain] = merged[plain] + up @ down
    apply(transformer, [fitted(read_lora(path))])
    expected, found = ours(merged), effective(transformer)
    for name, weight in expected.items():
        assert (found[name] - weight).abs().max() <= 1e-5 * weight.abs().max(), name
