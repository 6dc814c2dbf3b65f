"""Our latents against the reference implementation's: same weights, prompt, noise and settings."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine.jobs.order import Order, Output
from engine.memory.studio import Studio
from engine.request import Request
from engine.run import execute
from engine.tasks.text_to_image import noise
from tests.engine.inject import Told
from tests.reference.conftest import relative

LIMIT = 1e-4
WORDS = ("a", "small", "red", "circle", "left", "of", "the", "blue", "star", "under", "clouds")


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.fixture
def paint(studio, reference_folder, tmp_path):
    """Paint with our engine; return the latents before decoding and the pictures' files."""

    def run(**values):
        request = Request(model=str(reference_folder), device="cpu", precision="fp32", **values)
        latents = tmp_path / "latents.safetensors"
        order = Order(job="x", request=request, output=Output(folder=tmp_path, latents=latents))
        result = execute(order, studio, Told().hooks)
        return load_file(latents)["latents"], [picture.path for picture in result.pictures]

    return run


def theirs(pipeline, request: dict, output_type: str = "latent"):
    count = request.get("count", 1)
    start = noise(request["seed"], count, request["width"], request["height"])
    with torch.inference_mode():
        return pipeline(
            prompt=[request["prompt"]] * count,
            negative_prompt=[request.get("negative", "")] * count,
            width=request["width"],
            height=request["height"],
            num_inference_steps=request["steps"],
            guidance_scale=request.get("guidance_scale", 0.0),
            cfg_normalization=request.get("cfg_normalization", 0.0),
            cfg_truncation=request.get("cfg_truncation", 1.0),
            latents=start,
            output_type=output_type,
        ).images


def ask(**values) -> dict:
    usual = {
        "prompt": "a red circle on a blue background",
        "seed": 3, "steps": 4, "width": 64, "height": 64, "guidance_scale": 0.0,
    }  # fmt: skip
    return {**usual, **values}


CASES = {
    "no guidance": ask(),
    "one step": ask(steps=1),
    "eight steps": ask(steps=8),
    "guidance 4": ask(guidance_scale=4.0),
    "guidance with a negative prompt": ask(guidance_scale=4.0, negative="green"),
    "a negative prompt longer than the prompt": ask(
        guidance_scale=4.0, negative=" ".join(WORDS * 6)
    ),
    "normalisation": ask(guidance_scale=4.0, cfg_normalization=1.0),
    "loose normalisation": ask(guidance_scale=4.0, cfg_normalization=1.5),
    "truncation": ask(guidance_scale=4.0, cfg_truncation=0.6),
    "truncation at once": ask(guidance_scale=4.0, cfg_truncation=0.0),
    "everything": ask(
        guidance_scale=3.0, negative="dark", cfg_normalization=1.0, cfg_truncation=0.6, count=2
    ),
    "64 x 96": ask(width=64, height=96),
    "112 x 80": ask(width=112, height=80),
    "160 x 96": ask(width=160, height=96),
    "256 x 256": ask(width=256, height=256),
    "batch of three": ask(count=3),
    "batch of three with guidance": ask(count=3, guidance_scale=4.0),
    "no word": ask(prompt=""),
    "one word": ask(prompt="circle"),
    "30 words": ask(prompt=" ".join((WORDS * 3)[:30])),
    "100 words": ask(prompt=" ".join((WORDS * 10)[:100])),
    "300 words": ask(prompt=" ".join((WORDS * 28)[:300])),
    "300 words and guidance": ask(
        prompt=" ".join((WORDS * 28)[:300]), guidance_scale=4.0, negative="x"
    ),
    "more than 512 tokens": ask(prompt=" ".join(WORDS * 60)),
    "other writing": ask(prompt="Ein Kreis: «rot»! 圆\n\t5 × ★ 🐈"),
}


@pytest.mark.parametrize("case", CASES)
def test_latents_equal_the_references(case, pipeline, paint, measured):
    request = CASES[case]
    ours, _ = paint(**request)
    reference = theirs(pipeline, request)
    # Latents that hardly left the noise would agree whatever the model does.
    start = noise(request["seed"], request.get("count", 1), request["width"], request["height"])
    assert relative(start, reference) > 0.3
    measured(ours, reference, LIMIT)


def test_the_shift_is_the_schedules_own(pipeline, paint, measured, reference_folder):
    request = ask(steps=5)
    kept = pipeline.scheduler
    pipeline.scheduler = type(kept).from_config(kept.config, shift=6.0)
    try:
        reference = theirs(pipeline, request)
    finally:
        pipeline.scheduler = type(kept).from_config(kept.config, shift=3.0)
    measured(paint(**request, shift=6.0)[0], reference, LIMIT)
    assert relative(paint(**request)[0], reference) > 100 * LIMIT


def test_pictures_equal_the_references_to_a_level(pipeline, paint):
    request = ask(count=2, width=96)
    _, files = paint(**request)
    for file, reference in zip(files, theirs(pipeline, request, "pil"), strict=True):
        ours = Image.open(file).tobytes()
        off = [abs(a - b) for a, b in zip(ours, reference.tobytes(), strict=True)]
        assert max(off) <= 1
