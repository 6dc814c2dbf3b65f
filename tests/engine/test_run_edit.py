"""A job that edits by instruction, from its pictures to the file."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.errors import BadRequest
from engine.jobs.order import Order, Output
from engine.memory.model import Model
from engine.memory.studio import PREVIEW_FILE, Studio
from engine.request import Lora, Request
from engine.run import execute
from tests.engine.inject import Told
from tests.tiny_omni import READER, save_tiny_omni


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("omni")
    save_tiny_omni(made)
    save_file({"projection": torch.zeros(17, 3)}, made / PREVIEW_FILE)
    return made


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.fixture
def edit(folder, studio, tmp_path):
    """Carry out a request; return the result and the latents before decoding."""
    latents = tmp_path / "latents.safetensors"

    def run(**values):
        usual = {
            "prompt": "make it red", "seed": 1, "steps": 2, "guidance_scale": 2.0,
            "device": "cpu", "precision": "fp32",
        }  # fmt: skip
        request = Request(**{**usual, "model": str(folder), **values})
        output = Output(folder=tmp_path, latents=latents)
        order = Order(
            job="x",
            request=request,
            output=output,
            data_dir=tmp_path / "data",
            lora_folder=tmp_path,
        )
        return execute(order, studio, Told().hooks), load_file(latents)["latents"]

    return run


@pytest.fixture
def shown(tmp_path):
    """Write pictures of some sizes; return their paths."""

    def write(*sizes):
        paths = [tmp_path / f"{number}.png" for number in range(len(sizes))]
        for path, size in zip(paths, sizes, strict=True):
            Image.linear_gradient("L").resize(size).convert("RGB").save(path)
        return tuple(str(path) for path in paths)

    return write


def test_an_edit_has_the_size_of_its_last_picture(edit, shown):
    result, latents = edit(images=shown((64, 64), (100, 70)))
    with Image.open(result.pictures[0].path) as made:
        assert made.size == (96, 64)
    assert latents.shape == (1, 16, 8, 12)
    assert latents.isfinite().all()


def test_pictures_and_words_both_matter_and_so_does_their_order(edit, shown):
    one, other = shown((64, 64), (80, 64))
    found = [
        edit(images=images, prompt=prompt, width=64, height=64)[1]
        for images, prompt in (
            ((one,), "make it red"),
            ((one,), "make it green"),
            ((other,), "make it red"),
            ((one, other), "make it red"),
            ((other, one), "make it red"),
            ((), "make it red"),
        )
    ]
    for number, latents in enumerate(found):
        assert all(not torch.allclose(latents, b, atol=1e-3) for b in found[:number])


def test_several_edits_at_once_are_those_of_their_seeds(edit, shown):
    images = shown((64, 64))
    _, both = edit(images=images, count=2)
    _, second = edit(images=images, seed=2)
    assert torch.allclose(both[1:], second, atol=1e-3, rtol=1e-3)


def test_the_next_instruction_looks_at_no_picture_again(edit, shown, monkeypatch):
    images, looks = shown((64, 64)), []
    for name in ("see", "vae_encode"):
        whole = getattr(Model, name)
        monkeypatch.setattr(
            Model, name, lambda *given, whole=whole: looks.append(1) or whole(*given)
        )
    edit(images=images)
    edit(images=images, prompt="make it blue", seed=9, guidance_scale=0.0)
    assert len(looks) == 2


def test_the_same_picture_edited_redrawn_and_repainted_is_encoded_once(edit, shown, monkeypatch):
    images, encoded, whole = shown((80, 64)), [], Model.vae_encode
    monkeypatch.setattr(Model, "vae_encode", lambda *given: encoded.append(1) or whole(*given))
    edit(images=images)
    edit(images=images, task="redraw", strength=0.5)
    edit(images=images, mask=images[0], soft=True)
    assert len(encoded) == 1


@pytest.mark.parametrize("change", [{"precision": "int8"}, {"precision": "fp16"}])
def test_an_edit_runs_in_every_precision(edit, shown, change):
    _, latents = edit(images=shown((64, 64)), **change)
    assert latents.isfinite().all() and latents.std() > 0.1


def test_an_edit_saves_steps(edit, shown):
    result, latents = edit(images=shown((64, 64)), steps=12, step_cache=1.0)
    assert result.skipped and latents.isfinite().all()


def test_adapters_act_on_edits_and_on_what_is_seen(edit, shown, tmp_path):
    images, dim = shown((64, 64)), READER.dim
    bare = edit(images=images)[1]
    for block in ("layers.0", "siglip_refiner.0"):
        base = f"transformer.{block}.attention.to_q"
        down = torch.randn(4, dim, generator=torch.Generator().manual_seed(1))
        save_file(
            {f"{base}.lora_A.weight": down, f"{base}.lora_B.weight": down.T.contiguous()},
            tmp_path / "own.safetensors",
        )
        for weight, same in ((0.0, True), (1.0, False)):
            loras = (Lora(str(tmp_path / "own.safetensors"), weight),)
            changed = edit(images=images, loras=loras)[1]
            assert torch.equal(changed, bare) == same, block


def test_three_pictures_are_the_most(edit, shown):
    with pytest.raises(BadRequest):
        edit(images=shown((64, 64), (64, 64), (64, 64), (64, 64)))
