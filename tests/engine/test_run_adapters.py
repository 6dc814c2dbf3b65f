"""Adapters from the request to the picture: applied to every one, and gone without a trace."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from engine import errors
from engine.lora.targets import targets
from engine.request import Lora
from tests.engine.workbench import model_of
from tests.tiny import TRANSFORMER

RANK = 4


def write_lora(path, *, module: str = "layers.0.attention.to_q", missing: int = 0, seed: int = 0):
    """Write an adapter of one module, and of some that no model has."""
    generator = torch.Generator().manual_seed(seed)
    stems = [module, *(f"layers.{100 + i}.attention.to_q" for i in range(missing))]
    dim = TRANSFORMER.dim
    columns = TRANSFORMER.cap_feat_dim if module.startswith("cap_embedder") else dim
    tensors = {}
    for stem in stems:
        key = f"diffusion_model.{stem}.lora_"
        tensors[f"{key}A.weight"] = torch.randn(RANK, columns, generator=generator)
        tensors[f"{key}B.weight"] = torch.randn(dim, RANK, generator=generator)
    save_file(tensors, path)
    return Lora(str(path))


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "style.safetensors")


def test_an_adapter_changes_every_picture(bench, ask, lora):
    without = bench.paint(ask(count=2))
    first = bench.paint(ask(count=2, loras=(lora,)))
    assert all(a != b for a, b in zip(without, first, strict=True))
    assert bench.paint(ask(count=2, loras=(lora,))) == first


def test_without_its_adapter_a_model_paints_as_before(bench, ask, lora):
    before = bench.paint(ask())
    bench.paint(ask(loras=(lora,)))
    assert bench.paint(ask()) == before


def test_an_adapter_of_weight_zero_need_not_even_be_there(bench, ask):
    assert bench.paint(ask(loras=(Lora("nowhere", 0.0),))) == bench.paint(ask())


def test_a_weight_of_zero_is_no_adapter(bench, ask, lora):
    assert bench.paint(ask(loras=(Lora(lora.name, 0.0),))) == bench.paint(ask())


def test_another_weight_loads_nothing_again(bench, ask, lora):
    pictures = [bench.paint(ask(loras=(Lora(lora.name, w),))) for w in (0.5, 1.0, -1.0)]
    model = model_of(bench)
    assert len({picture[0] for picture in pictures}) == 3
    assert bench.paint(ask(loras=(Lora(lora.name, 0.5),))) == pictures[0]
    assert model_of(bench) is model


def test_captions_read_with_an_adapter_are_not_those_without(bench, ask, tmp_path):
    lora = write_lora(tmp_path / "words.safetensors", module="cap_embedder.1")
    before = bench.paint(ask())
    assert bench.paint(ask(loras=(lora,))) != before
    assert bench.paint(ask()) == before


def test_a_name_is_looked_for_in_the_folder_of_adapters(bench, ask, tmp_path):
    folder = tmp_path / "loras"
    (folder / "styles").mkdir(parents=True)
    write_lora(folder / "styles" / "ink.safetensors")
    by_name = bench.run(ask(loras=(Lora("ink"),)), loras=folder)
    assert by_name.pictures[0].recipe["request"]["loras"] == [{"name": "ink", "weight": 1.0}]
    with pytest.raises(errors.NotFound, match="no LoRA 'chalk'"):
        bench.run(ask(loras=(Lora("chalk"),)), loras=folder)


def test_an_adapter_that_does_not_fit_is_refused_before_a_weight_is_read(bench, ask, tmp_path):
    stranger = write_lora(tmp_path / "s.safetensors", module="double_blocks.0.img_attn.proj")
    with pytest.raises(errors.FileRejected, match=r"s\.safetensors"):
        bench.run(ask(loras=(stranger,)))
    assert model_of(bench) is None


def test_an_adapter_is_matched_once(bench, ask, lora, monkeypatch):
    tables = []

    def noted(config):
        tables.append(config)
        return targets(config)

    monkeypatch.setattr("engine.lora.match.targets", noted)
    bench.paint(ask(loras=(lora,)))
    assert len(tables) == 1


def test_half_an_adapter_needs_the_users_word(bench, ask, tmp_path):
    half = write_lora(tmp_path / "half.safetensors", missing=1)
    with pytest.raises(errors.FileRejected, match="1 of 2"):
        bench.run(ask(loras=(half,)))
    result = bench.run(ask(loras=(half,), lora_partial=True))
    assert any("1 of 2" in warning for warning in result.warnings)
