from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import FileRejected
from engine.lora.report import MAX_NAMES, Verdict, describe_lora
from tests.engine.lora.models import CONFIG
from tests.engine.lora.writer import CORPUS, Book

ROOT = Path(__file__).parents[3]


def file_of(write, base, folder, **metadata):
    book = Book(base, metadata=metadata)
    CORPUS[write][0](book)
    return book, book.save(folder / "cat.safetensors")


@pytest.mark.parametrize("write", CORPUS)
def test_a_report_of_every_dialect_is_json_and_says_it_fits(write, base, tmp_path):
    _, path = file_of(write, base, tmp_path)
    report = describe_lora(path, CONFIG)
    assert (report.verdict, report.usable) == (Verdict.FITS, True)
    assert report.matched == report.total > 0
    assert f"fits the model: {report.total} of {report.total} modules" in report.sentence
    assert json.loads(json.dumps(report.to_json()))["dialect"] == CORPUS[write][1]


def test_a_report_states_ranks_alphas_and_forms(base, tmp_path):
    report = describe_lora(file_of("one_trainer_dora", base, tmp_path)[1], CONFIG)
    assert (report.ranks, report.alphas) == ((4,), (2.0,))
    assert report.forms == ("DoRA", "LoRA")
    assert report.size == (tmp_path / "cat.safetensors").stat().st_size


@pytest.mark.parametrize("place", ["inside", "beside", "nowhere"])
def test_a_report_tells_of_a_picture_without_opening_it(place, base, tmp_path, monkeypatch):
    url = {"modelspec.thumbnail": "data:image/png;base64,AAAA"} if place == "inside" else {}
    _, path = file_of("kohya", base, tmp_path, **url)
    if place == "beside":
        (tmp_path / "cat.webp").write_bytes(b"RIFF")
    monkeypatch.setattr("engine.images.thumbnails.open_picture", None)
    assert describe_lora(path, CONFIG).has_thumbnail is (place != "nowhere")


def test_a_report_of_half_an_adapter_names_what_is_missing(base, tmp_path):
    book, path = file_of("ai_toolkit", base, tmp_path)
    for name in [n for n in book.tensors if "layers.1" in n]:
        book.tensors[name.replace("layers.1", "layers.31")] = book.tensors.pop(name)
    report = describe_lora(book.save(path), CONFIG)
    assert (report.verdict, report.usable) == (Verdict.PARTLY, False)
    assert (report.matched, report.total, len(report.unmatched)) == (7, 11, 4)
    assert "7 of 11" in report.sentence
    assert "--lora-partial" in report.sentence


def test_a_report_of_very_many_ranks_keeps_the_lowest_and_the_highest(tmp_path):
    book = Book({})
    for rank in range(1, 41):
        name = f"diffusion_model.layers.{rank}.attention.to_q"
        book.tensors |= {f"{name}.lora_A.weight": book.random(rank, 4),
                         f"{name}.lora_B.weight": book.random(4, rank)}  # fmt: skip
    report = describe_lora(book.save(tmp_path / "odd.safetensors"), CONFIG)
    assert report.ranks == (*range(1, MAX_NAMES), 40)


def test_a_report_lists_a_bounded_number_of_names(base, tmp_path):
    book = Book(base)
    for index in range(500):
        name = f"diffusion_model.{'x' * 200}{index}"
        book.tensors |= {f"{name}.lora_A.weight": book.random(1, 4),
                         f"{name}.lora_B.weight": book.random(4, 1)}  # fmt: skip
    report = describe_lora(book.save(tmp_path / "odd.safetensors"), CONFIG)
    assert report.verdict is Verdict.NOT
    assert report.total == 500
    assert len(report.unmatched) == MAX_NAMES
    assert len(json.dumps(report.to_json())) < 10_000


@pytest.mark.parametrize("write", ["kohya_fused", "ai_toolkit_lokr", "dotted_with_duplicates"])
def test_a_report_without_a_model_measures_by_the_width_of_the_adapter(write, base, tmp_path):
    report = describe_lora(file_of(write, base, tmp_path)[1])
    assert report.verdict is Verdict.FITS
    assert "Z-Image models of width 64" in report.sentence


@pytest.mark.parametrize("shape", [(2304, 3840), (3840, 64)])
def test_a_report_without_a_model_refuses_what_contradicts_itself(shape, tmp_path):
    book, stem = Book({}), "diffusion_model.layers.0.attention"
    for name, columns in zip(("to_q", "to_k"), shape, strict=True):
        book.tensors |= {f"{stem}.{name}.lora_A.weight": book.random(2, columns),
                         f"{stem}.{name}.lora_B.weight": book.random(columns, 2)}  # fmt: skip
    report = describe_lora(book.save(tmp_path / "odd.safetensors"))
    assert report.verdict is Verdict.NOT


def test_a_report_without_a_model_and_attention_measures_by_the_public_one(tmp_path):
    stem, book = "diffusion_model.layers.0.feed_forward.w2", Book({})
    book.tensors = {f"{stem}.lora_A.weight": book.random(2, 10240),
                    f"{stem}.lora_B.weight": book.random(3840, 2)}  # fmt: skip
    report = describe_lora(book.save(tmp_path / "odd.safetensors"))
    assert "fits Z-Image models of width 3840" in report.sentence


def test_a_damaged_file_gets_no_report(tmp_path):
    (tmp_path / "cat.safetensors").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(FileRejected, match="zip"):
        describe_lora(tmp_path / "cat.safetensors")


def test_reading_and_reporting_need_no_torch():
    parts = ("file", "match", "report", "facts", "library")
    program = f"import sys, {', '.join(f'engine.lora.{part}' for part in parts)}; "
    done = subprocess.run(
        [sys.executable, "-c", program + "sys.exit('torch' in sys.modules)"], cwd=ROOT
    )
    assert done.returncode == 0
