"""`app.py bench`: what it measures, on networks small enough for a test."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from engine import cli
from engine.cli import bench, bench_forward, bench_int8, measure, subjects
from engine.memory.studio import Place
from engine.quant.recipe import transformer_layers
from engine.request import Precision
from tests.tiny import TRANSFORMER, VAE

CPU = Place(device="cpu", precision=Precision.FP32)
TINY = subjects.Architecture(transformer=TRANSFORMER, vae=VAE, sides=(64,))


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(subjects, "ARCHITECTURES", {"demo": TINY})
    file = tmp_path / "figures.json"

    def call(*arguments: str):
        code = cli.main(["bench", *arguments, "--json", str(file)], lambda *_: None)
        written = capsys.readouterr()
        figures = json.loads(file.read_text()) if file.exists() else None
        return code, written.out, written.err, figures

    return call


def test_a_model_is_measured_by_stage(run, tiny_model, monkeypatch):
    complete = bench.complete
    small = {"width": 64, "height": 64, "steps": 2}
    monkeypatch.setattr(bench, "complete", lambda r, *rest: complete(r.with_values(**small), *rest))
    code, out, _, (figures,) = run("--model", str(tiny_model))
    assert code == 0
    assert figures["nfe"] == 2
    assert figures["seconds"]["ours"] > 0
    assert 0 < figures["stages"]["denoising"] < figures["seconds"]["ours"] + 1
    assert "64 x 64, fp32, 2 evaluations" in out


def test_random_weights_are_measured_beside_the_reference_and_forwards_counted(run):
    code, out, _, (figures,) = run("--random-weights", "demo", "--against", "diffusers")
    assert code == 0
    assert set(figures["seconds"]) == {"ours", "diffusers"}
    assert figures["forwards"] == {"ours": 8, "diffusers": 8}
    assert "ours / diffusers" in out


def test_random_weights_alone_need_no_reference(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, _, (figures,) = run("--random-weights", "demo")
    assert code == 0
    assert set(figures["seconds"]) == {"ours"}


def test_a_missing_reference_is_one_clear_sentence(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err, figures = run("--against", "diffusers")
    assert (code, figures) == (2, None)
    (line,) = err.splitlines()
    assert line.startswith("error: diffusers is not installed")


def test_the_full_size_without_a_graphics_card_is_refused(run, monkeypatch):
    monkeypatch.setattr(bench, "hardware", bench.hardware().__class__)
    code, _, err, _ = run("--random-weights", "full")
    assert code == 2
    assert "needs a graphics card" in err


def test_figures_need_a_folder(run, tmp_path):
    code = cli.main(["bench", "--json", str(tmp_path / "no" / "x.json")], lambda *_: None)
    assert code == 2


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 5e-2)])
def test_a_forward_is_compared_with_the_reference_over_the_same_weights(precision, limit):
    place = Place(device="cpu", precision=Precision(precision))
    figures = bench.forward_figures(TINY, place, side=64)
    assert figures["relative L2"] <= limit
    assert figures["image tokens"] == 16
    assert set(figures["seconds"]) == {"ours", "ours with caption refiner", "diffusers"}


def test_the_reference_shares_our_weights_instead_of_copying_them():
    networks = subjects.build(TINY, CPU)
    theirs = subjects.reference_transformer(networks.transformer)
    ours = {p.untyped_storage().data_ptr() for p in networks.transformer.parameters()}
    assert {p.untyped_storage().data_ptr() for p in theirs.parameters()} == ours


def test_random_networks_are_the_same_every_time_and_give_numbers():
    first, second = (subjects.build(TINY, CPU) for _ in range(2))
    picture = subjects.paint(first, 64, 1)
    assert torch.equal(picture, subjects.paint(second, 64, 1))
    assert not torch.equal(picture, subjects.paint(first, 64, 2))


def test_the_full_width_is_the_public_models():
    assert (subjects.WIDE.dim, subjects.WIDE.n_layers, subjects.WIDE.n_refiner_layers) == (
        3840,
        2,
        2,
    )


def test_arms_take_turns_after_a_warm_up_each():
    ran = []
    arms = [
        measure.Arm(name=name, run=lambda number, name=name: ran.append((name, number)))
        for name in "ab"
    ]
    seconds = measure.medians(arms, 3, "cpu")
    assert "".join(name for name, _ in ran) == "ab" + "ab" + "ba" + "ab"
    assert [number for _, number in ran] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(seconds) == {"a", "b"}


def test_an_int8_block_is_measured_beside_bfloat16_and_quanto(monkeypatch, capsys):
    monkeypatch.setattr(bench_int8, "ROUNDS", 1)
    monkeypatch.setattr(bench_int8, "CELLS", 8)
    figures = bench_int8.int8_figures("cpu", TRANSFORMER)
    assert set(figures["seconds"]) == {"int8", "bf16", "optimum-quanto int8"}
    assert set(figures["ratios"]) == {"bf16", "optimum-quanto int8"}
    assert all(0 < error < 0.05 for error in figures["relative L2"].values())
    assert "bf16 / int8" in capsys.readouterr().out


def test_a_whole_forward_is_measured_in_bfloat16_and_int8_beside_the_reference(monkeypatch, capsys):
    monkeypatch.setattr(bench_forward, "ROUNDS", 1)
    figures = bench_forward.whole_forward("cpu", TINY, side=64)
    assert set(figures["seconds"]) == {"ours bf16", "ours int8", "diffusers bf16"}
    assert set(figures["times faster"]) == {"ours bf16", "ours int8"}
    assert figures["relative L2"]["ours bf16"] < 0.02
    assert figures["relative L2"]["ours bf16"] < figures["relative L2"]["ours int8"] < 0.1
    assert "x faster, relative L2" in capsys.readouterr().out


def test_the_whole_forward_rounds_every_main_layer_of_the_full_width():
    config = bench_forward.TALL.transformer
    assert config.dim == 3840
    main = {name.split(".")[1] for name in transformer_layers(config.n_layers)}
    assert len(main) == config.n_layers
