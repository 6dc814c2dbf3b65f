"""Redraw and inpaint against the reference implementation: same weights, noise and settings."""

from __future__ import annotations

import pytest
import torch
from diffusers import ZImageImg2ImgPipeline, ZImageInpaintPipeline
from PIL import Image
from safetensors.torch import load_file

from engine.images.mask import WHITE_FROM
from engine.jobs.order import Order, Output
from engine.memory.studio import Studio
from engine.request import Request
from engine.run import execute
from engine.tasks.text_to_image import noise
from tests.engine.inject import Told
from tests.reference.conftest import relative

LIMIT = 1e-4
SIDES = (96, 64)
STRENGTHS = (0.2, 0.6, 1.0)


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.fixture
def picture():
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randint(0, 256, (4, 6, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(coarse.numpy()).resize(SIDES, Image.Resampling.BICUBIC)


def drawn(kind: str) -> Image.Image:
    """A mask: one half, a ring, or noise."""
    width, height = SIDES
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    away = ((rows - height / 2) ** 2 + (columns - width / 2) ** 2).sqrt()
    chance = torch.rand((height, width), generator=torch.Generator().manual_seed(9))
    white = {"half": columns < width // 2, "ring": (away > 12) & (away < 26), "noise": chance < 0.5}
    return Image.fromarray((white[kind] * 255).to(torch.uint8).numpy())


@pytest.fixture
def paint(studio, reference_folder, tmp_path, picture):
    """Paint from the picture with our engine; return the latents before decoding."""
    picture.save(tmp_path / "picture.png")

    def run(**values):
        request = Request(
            model=str(reference_folder), device="cpu", precision="fp32",
            images=(str(tmp_path / "picture.png"),), **values,
        )  # fmt: skip
        latents = tmp_path / "latents.safetensors"
        order = Order(
            job="x",
            request=request,
            output=Output(folder=tmp_path, latents=latents),
            data_dir=tmp_path / "data",
        )
        execute(order, studio, Told().hooks)
        return load_file(latents)["latents"]

    return run


@pytest.fixture
def theirs(pipeline, picture, monkeypatch):
    """Paint with a pipeline of the reference, from the mode of the posterior and our noise."""

    def run(kind, request: dict, **more):
        made = kind(
            scheduler=pipeline.scheduler,
            vae=pipeline.vae,
            text_encoder=pipeline.text_encoder,
            tokenizer=pipeline.tokenizer,
            transformer=pipeline.transformer,
        )
        made.set_progress_bar_config(disable=True)
        module = __import__(kind.__module__, fromlist=["_"])
        monkeypatch.setattr(module, "retrieve_latents", lambda found, **_: found.latent_dist.mode())
        start = noise(request["seed"], 1, *SIDES)
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: start)
        with torch.inference_mode():
            return made(
                prompt=[request["prompt"]],
                negative_prompt=[""],
                image=picture,
                strength=request["strength"],
                width=SIDES[0],
                height=SIDES[1],
                num_inference_steps=request["steps"],
                guidance_scale=request["guidance_scale"],
                output_type="latent",
                **more,
            ).images

    return run


def ask(**values) -> dict:
    usual = {"prompt": "a red circle", "seed": 3, "steps": 5, "guidance_scale": 0.0}
    return {**usual, **values}


@pytest.mark.parametrize("strength", [*STRENGTHS, 0.05, 0.7])
@pytest.mark.parametrize("guidance", [0.0, 4.0])
def test_a_redraw_equals_the_references(strength, guidance, theirs, paint, measured):
    request = ask(strength=strength, guidance_scale=guidance)
    reference = theirs(ZImageImg2ImgPipeline, request)
    assert relative(noise(3, 1, *SIDES), reference) > 0.3
    measured(paint(**request), reference, LIMIT)


@pytest.mark.parametrize("kind", ["half", "ring", "noise"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_an_inpainted_picture_equals_the_references(
    kind, strength, theirs, paint, measured, tmp_path
):
    drawn(kind).save(tmp_path / "mask.png")
    request = ask(strength=strength, guidance_scale=2.0)
    reference = theirs(ZImageInpaintPipeline, request, mask_image=drawn(kind))
    ours = paint(**request, mask=str(tmp_path / "mask.png"))
    measured(ours, reference, LIMIT)
    assert relative(paint(**request), reference) > 100 * LIMIT


def test_a_grey_mask_is_cut_where_the_references_is(theirs, paint, measured, tmp_path):
    rows = torch.arange(SIDES[1]).view(-1, 1).expand(-1, SIDES[0])
    grey = Image.fromarray((WHITE_FROM - 32 + rows).to(torch.uint8).numpy())
    grey.save(tmp_path / "mask.png")
    request = ask(strength=0.6)
    reference = theirs(ZImageInpaintPipeline, request, mask_image=grey)
    measured(paint(**request, mask=str(tmp_path / "mask.png")), reference, LIMIT)
