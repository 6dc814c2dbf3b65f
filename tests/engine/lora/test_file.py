"""What a file says of itself beside its pairs: alpha, ranks, tensors of no known form."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch

from engine.checkpoints.header import read_header
from engine.errors import FileRejected
from engine.lora.file import read_lora
from engine.lora.match import match, require
from tests.engine.lora.models import CONFIG
from tests.engine.lora.writer import USUAL, Book, kohya, peft_with_configuration


def pair(folder, **beside):
    """An adapter of one pair of rank 4."""
    book = Book({}, **beside)
    stem = "base_model.model.layers.0.attention.to_q"
    book.tensors = {
        f"{stem}.lora_A.weight": torch.ones(4, 64),
        f"{stem}.lora_B.weight": torch.ones(64, 4),
    }
    return book.save(folder / "adapter_model.safetensors")


def scale_of(path):
    (change,) = read_lora(path).changes
    return change.scale


@pytest.mark.parametrize("rank", [32, [4], {}, "4", None, True])
def test_a_configuration_of_another_file_in_the_folder_is_ignored(rank, base, tmp_path):
    book = Book(base)
    peft_with_configuration(book)
    book.beside["adapter_config.json"] = {"r": rank, "lora_alpha": 64}
    lora = read_lora(book.save(tmp_path / "adapter_model.safetensors"))
    assert {change.scale for change in lora.changes} == {1.0}


@pytest.mark.parametrize(
    ("name", "stem", "scale"),
    [
        ("adapter_model", "transformer.layers.0.attention.to_q", 16.0),
        ("style", "base_model.model.layers.0.attention.to_q", 16.0),
        ("style", "transformer.layers.0.attention.to_q", 1.0),
    ],
)
def test_only_files_of_peft_heed_a_configuration_beside_them(name, stem, scale, tmp_path):
    book = Book({}, beside={"adapter_config.json": {"r": 4, "lora_alpha": 64}})
    book.tensors = {
        f"{stem}.lora_A.weight": torch.ones(4, 64),
        f"{stem}.lora_B.weight": torch.ones(64, 4),
    }
    assert scale_of(book.save(tmp_path / f"{name}.safetensors")) == scale


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"r": 4, "lora_alpha": "8"}', '{"r": 4, "lora_alpha": 1e999}',
             '{"r": 4, "lora_alpha": true}', '{"r": 4, "lora_alpha": NaN}', "[" * 9999]
)  # fmt: skip
def test_junk_beside_the_tensors_is_ignored(text, tmp_path):
    path = pair(tmp_path, metadata={"lora_adapter_metadata": text, "ss_network_alpha": text})
    (tmp_path / "adapter_config.json").write_text(text)
    assert scale_of(path) == 1.0


def with_patterns(patterns, folder, count=1):
    """An adapter of many modules, and alphas by the ends of their names."""
    configuration = {"lora_alpha": 2, "alpha_pattern": patterns}
    book = Book({}, metadata={"lora_adapter_metadata": json.dumps(configuration)})
    for index in range(count):
        stem = f"transformer.layers.{index}.attention.to_q"
        book.tensors |= {f"{stem}.lora_A.weight": torch.ones(1, 4),
                         f"{stem}.lora_B.weight": torch.ones(4, 1)}  # fmt: skip
    return book.save(folder / "one.safetensors")


@pytest.mark.parametrize(
    ("patterns", "alpha"),
    [
        ({"to_q": 3, "layers.0.attention.to_q": 5}, 3),
        ({"layers.0.attention.to_q": 5, "to_q": 3}, 5),
        ({"transformer.layers.0.attention.to_q": 5}, 5),
        ({"o_q": 3, "attention": 4, ".*": 5, "to_q": "6"}, 2),
    ],
)
def test_the_first_pattern_that_ends_a_modules_name_counts(patterns, alpha, tmp_path):
    assert scale_of(with_patterns(patterns, tmp_path)) == alpha


@pytest.mark.parametrize(
    "patterns",
    [{f"layers.{i}.nothing": 1 for i in range(20_000)}, {"unet." * 190_000: 1}],
    ids=["very many", "very long"],
)
def test_hostile_patterns_cost_no_time(patterns, tmp_path):
    path = with_patterns(patterns, tmp_path, 1000)
    began = time.process_time()
    assert {change.alpha for change in read_lora(path).changes} == {2.0}
    assert time.process_time() - began < 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16,
                                   torch.int64, torch.int32, torch.int8, torch.uint8])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_alpha_of_any_number_type_is_read(dtype, shape, base, tmp_path):
    book = Book(base)
    kohya(book)
    for name in [name for name in book.tensors if name.endswith("alpha")]:
        book.tensors[name] = torch.full(shape, 6, dtype=dtype)
    lora = read_lora(book.save(tmp_path / "one.safetensors"))
    assert {(change.alpha, change.scale) for change in lora.changes} == {(6.0, 1.5)}


def test_a_lokr_of_two_ranks_is_scaled_by_that_of_its_second_side(tmp_path):
    stem, book = "lycoris_layers_0_attention_to_q", Book({})
    book.tensors = {
        f"{stem}.lokr_w1_a": torch.ones(4, 2), f"{stem}.lokr_w1_b": torch.ones(2, 4),
        f"{stem}.lokr_w2_a": torch.ones(16, 3), f"{stem}.lokr_w2_b": torch.ones(3, 16),
        f"{stem}.alpha": torch.tensor(6.0),
    }  # fmt: skip
    assert scale_of(book.save(tmp_path / "one.safetensors")) == 2.0


def test_an_alpha_in_the_keys_goes_before_any_beside_them(base, tmp_path):
    book = Book(base)
    kohya(book)
    book.metadata = {"lora_adapter_metadata": json.dumps({"lora_alpha": 99, "use_rslora": True})}
    lora = read_lora(book.save(tmp_path / "one.safetensors"))
    assert {change.scale for change in lora.changes} == {0.25}


def test_a_file_that_changes_while_it_is_read_is_refused(base, tmp_path, monkeypatch):
    book = Book(base)
    kohya(book)
    path = book.save(tmp_path / "one.safetensors")
    earlier = replace(read_header(path), stamp=(1, 2, 3))
    monkeypatch.setattr("engine.lora.file.read_header", lambda _: earlier)
    with pytest.raises(FileRejected, match="was changed while"):
        read_lora(path)


def test_tensors_of_no_known_form_count_as_unmatched(base, tmp_path):
    book = Book(base)
    kohya(book)
    for name in USUAL[:5]:
        book.tensors[f"lora_unet_{name}.oft_blocks"] = torch.ones(2, 2)
    lora = read_lora(book.save(tmp_path / "one.safetensors"))
    found = match(lora, CONFIG)
    assert (found.matched, found.total) == (21, 26)
    with pytest.raises(FileRejected, match=r"21 of 26 modules.*oft_blocks"):
        require(found)


def test_a_file_of_an_unknown_form_alone_is_refused(tmp_path):
    book = Book({}, tensors={"lora_unet_layers_0.oft_blocks": torch.ones(2, 2)})
    with pytest.raises(FileRejected, match="not a LoRA"):
        read_lora(book.save(tmp_path / "one.safetensors"))
