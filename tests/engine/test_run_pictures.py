"""Jobs that begin with a picture: whole, from the file to the file."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine import errors
from engine.checkpoints import load
from engine.events import Stage
from engine.images.metadata import read_recipe, request_from_recipe
from engine.inputs import Inputs
from engine.memory.ladder import SAID, Rung
from engine.memory.model import Model
from engine.quant.products import Integer
from engine.request import Region
from engine.settings import FileType
from tests.engine.inject import OutOfMemoryAt, Told
from tests.engine.squeeze import squeezed
from tests.engine.workbench import model_of


@pytest.fixture
def given(bench, ask):
    """Keep a picture and a mask of 96 x 64 pixels; make requests that begin with them."""
    inputs, folder = Inputs(bench.folder.parent / "data"), bench.folder.parent
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(folder / "in.png")
    mask = Image.new("L", (96, 64))
    mask.paste(255, (32, 16, 64, 48))
    mask.save(folder / "mask.png")
    picture, masked = inputs.keep(folder / "in.png"), inputs.keep(folder / "mask.png")

    def make(*, repaints: bool = True, **values):
        named = {"mask": masked} if repaints else {}
        usual = {"images": (picture,), "strength": 0.7, "width": None, "height": None}
        return ask(**{**named, **usual, **values})

    return make


def latents(bench, request, told=None) -> torch.Tensor:
    path = bench.folder.parent / "latents.safetensors"
    bench.run(request, told, latents=path)
    return load_file(path)["latents"]


def test_a_job_tells_of_the_pictures_it_looks_at_and_counts_its_steps(bench, given):
    told = Told()
    result = bench.run(given(steps=5), told)
    stages = list(dict.fromkeys(step.stage for step in told.steps))
    assert stages == list(Stage)
    assert result.nfe == 4
    (picture,) = result.pictures
    assert (picture.width, picture.height) == (96, 64)
    assert (picture.outside.changed, f"{picture.outside}"[:4]) == (0, "0 of")
    recipe = read_recipe(picture.path)
    assert recipe["outside"] == {"changed": 0, "pixels": picture.outside.pixels}
    restored, notes = request_from_recipe(recipe)
    assert [note for note in notes if "model" not in note] == []
    assert (restored.images, restored.mask) == (given().images, given().mask)


def test_a_restored_request_gives_the_same_picture(bench, given):
    request = given(feather=3, masked_only=True)
    (first,) = bench.run(request).pictures
    restored, _ = request_from_recipe(read_recipe(first.path))
    (again,) = bench.run(restored.with_values(model=request.model)).pictures
    assert Image.open(again.path).tobytes() == Image.open(first.path).tobytes()


def test_an_unchanged_picture_is_encoded_once(bench, given, monkeypatch):
    encoded, real = [], Model.vae_encode
    monkeypatch.setattr(
        Model, "vae_encode", lambda *arguments: encoded.append(1) or real(*arguments)
    )
    golden = bench.paint(given())
    bench.studio.forget()
    bench.studio._kept.clear()
    assert bench.paint(given(prompt="a blue star")) != golden
    assert bench.paint(given()) == golden
    assert len(encoded) == 1
    bench.run(given(masked_only=True))
    assert len(encoded) == 2


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_streamed_model_repaints_the_same_latents_bit_for_bit(
    bench, given, monkeypatch, precision
):
    monkeypatch.setattr(load, "choose", lambda _device, **_: Integer())
    request = given(guidance_scale=2.0, precision=precision)
    plain = latents(bench, request)
    with squeezed(monkeypatch, 0.0) as plans:
        bench.studio._kept.clear()
        for path in (bench.folder.parent / "data" / "cache" / "references").iterdir():
            path.unlink()
        assert torch.equal(latents(bench, request), plain)
    assert plans[0].streamed
    bench.studio.forget()


def test_a_picture_alone_is_the_picture_in_a_batch(bench, given):
    many = latents(bench, given(count=3))
    for index in range(3):
        alone = latents(bench, given(seed=7 + index))
        assert torch.allclose(many[index : index + 1], alone, atol=1e-4)


def test_step_saving_keeps_what_lies_outside_the_mask(bench, given):
    base = {"model": "demo-base", "guidance_scale": 0.0}
    request = given(steps=12, strength=1.0, step_cache=0.5, **base)
    result = bench.run(request)
    assert result.skipped
    assert result.nfe < 12
    assert result.pictures[0].outside.changed == 0
    held = latents(bench, request)
    assert torch.equal(held[..., :2, :], latents(bench, given(strength=0.0, **base))[..., :2, :])


def test_regions_follow_their_own_prompts(bench, given):
    plain = latents(bench, given(strength=1.0))
    region = (Region("a blue star", given().mask),)
    other = latents(bench, given(strength=1.0, regions=region))
    alone = latents(bench, given(strength=1.0, prompt="a blue star"))
    assert torch.allclose(other, alone, atol=1e-5)
    assert not torch.allclose(plain, alone, atol=1e-3)
    assert bench.run(given(steps=4, strength=1.0, regions=region)).nfe == 8


def test_a_shortage_while_a_picture_is_encoded_gives_up_its_size_first(bench, given):
    golden = bench.paint(given())
    spans: dict[Stage, int] = {}
    bench.studio._kept.clear()
    for path in (bench.folder.parent / "data" / "cache" / "references").iterdir():
        path.unlink()
    with OutOfMemoryAt(-1) as mode:
        bench.run(given(seed=8), Told(on_step=lambda s: spans.setdefault(s.stage, mode.count + 1)))
    bench.studio._kept.clear()
    for path in (bench.folder.parent / "data" / "cache" / "references").iterdir():
        path.unlink()
    told = Told()
    with OutOfMemoryAt(spans[Stage.PREPARING] + 5):
        bench.run(given(seed=8), told)
    assert f"Memory ran out while preparing: {SAID[Rung.TILE]}." in told.warnings
    assert bench.paint(given()) == golden


def test_a_job_of_strength_0_needs_no_model(bench, given):
    result = bench.run(given(strength=0.0, count=2))
    assert model_of(bench) is None
    assert result.nfe == 0
    before = Image.open(bench.folder.parent / "in.png").tobytes()
    assert [Image.open(p.path).tobytes() for p in result.pictures] == [before, before]


def test_a_wrong_mask_ends_before_a_weight_is_read(bench, given, tmp_path):
    Image.new("L", (96, 64)).save(tmp_path / "empty.png")
    with pytest.raises(errors.BadRequest, match="mask is empty"):
        bench.run(given(mask=str(tmp_path / "empty.png")))
    assert model_of(bench) is None


def test_a_jpeg_says_that_it_changes_every_pixel(bench, given):
    told = Told()
    (picture,) = bench.run(given(), told, name="out.jpg").pictures
    assert any(warning.startswith("JPEG stores every pixel anew") for warning in told.warnings)
    assert picture.outside is None
    assert "outside" not in read_recipe(picture.path)
    (kept,) = bench.run(given(), name="out.webp").pictures
    assert kept.path.suffix == FileType.WEBP.suffix
    assert kept.outside.changed == 0


def test_what_does_nothing_is_said(bench, given):
    told = Told()
    bench.run(given(repaints=False, feather=2, soft=True), told)
    assert {"feather is ignored. There is no mask.", "soft is ignored. There is no mask."} <= set(
        told.warnings
    )
