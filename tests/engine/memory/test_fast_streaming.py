"""Fast forms find the weights of a model that streams; blocks that are cut stay plain."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.open import open_model
from engine.memory import forms
from engine.memory.forms import FusedForm
from engine.memory.graphs import Graphs
from engine.memory.plan import Source
from engine.memory.studio import PREVIEW_FILE, Studio
from engine.model.layers import plain
from engine.request import Precision
from tests.engine.memory.streamed import latents_of, load, plan_of, sizes
from tests.engine.memory.test_graphs import Tape
from tests.engine.quant.plain_kernels import PlainKernels
from tests.tiny import save_tiny_model

PARTS = ("attention", "feed_forward.w13", "feed_forward.w2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    made = tmp_path_factory.mktemp("streamed")
    save_tiny_model(made)
    save_file({"projection": torch.zeros(17, 3)}, made / PREVIEW_FILE)
    return open_model(made)


@pytest.fixture(autouse=True)
def _faster(monkeypatch):
    """A fused block always counts as faster."""
    monkeypatch.setattr(forms, "_is_faster", lambda *_: True)


def streamed(checkpoint, folder: Path, form, *, cut: bool = False):
    """Latents of a model of which everything streams, the plain one's, and what was streamed."""
    studio = Studio()
    expected = latents_of(load(studio, checkpoint, Precision.FP32, plan_of(()), folder))
    names = [piece.name for piece in sizes(checkpoint, Precision.FP32).pieces]
    if cut:
        names = [n for n in names if not n.startswith("transformer.layers")]
        names += [f"transformer.layers.{i}.{part}" for i in range(2) for part in PARTS]
    model = load(studio, checkpoint, Precision.FP32, plan_of(names, Source.PAGED), folder)
    for block in (*model.transformer.noise_refiner, *model.transformer.layers):
        block.form = form
    found = latents_of(model)
    studio.forget()
    return found, expected


def test_a_fused_form_paints_a_streamed_model(checkpoint, tmp_path):
    kernels = PlainKernels()
    found, expected = streamed(checkpoint, tmp_path, FusedForm(kernels))
    assert kernels.launched.count("add_and_normalise") > 3
    assert (found - expected).norm() <= 1e-3 * expected.norm()


def test_blocks_that_stream_in_parts_stay_plain(checkpoint, tmp_path):
    kernels, others = PlainKernels(), PlainKernels()
    form = FusedForm(kernels)
    found, expected = streamed(checkpoint, tmp_path, form, cut=True)
    assert (found - expected).norm() <= 1e-3 * expected.norm()
    streamed(checkpoint, tmp_path, FusedForm(others))
    # Of one block of the refiner and two main ones, the refiner's.
    assert 0 < 2 * kernels.launched.count("swiglu") < others.launched.count("swiglu")


def test_graphs_of_slots_replay_a_streamed_model_bit_by_bit(checkpoint, tmp_path):
    tape = Tape()
    graphs = Graphs(plain, tape)
    for _ in range(2):
        found, expected = streamed(checkpoint, tmp_path, graphs)
        assert torch.equal(found, expected)
    assert tape.recorded > 0
