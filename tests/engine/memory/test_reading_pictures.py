"""A model that reads pictures: what it takes, and that it paints the same wherever it lies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoints.load import load_vision_encoder
from engine.checkpoints.open import open_model
from engine.denoise import Conditions, Denoiser, denoise
from engine.errors import Cancelled
from engine.memory.choices import FRAGMENTS, WORKSPACE, Case
from engine.memory.pieces import Tour, model_sizes
from engine.memory.plan import Source, make_plan
from engine.memory.studio import PREVIEW_FILE, Studio
from engine.memory.work import Wish
from engine.model.config import TransformerConfig, VisionConfig
from engine.model.footprint import transformer_footprint
from engine.model.layers import Attention
from engine.model.omni import Reference
from engine.model.transformer import Transformer
from engine.request import Precision
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from tests.engine.fake_memory import fake, peak_bytes, placed
from tests.engine.memory.streamed import STEPS, load, plan_of, sizes, slabs_of
from tests.engine.memory.true_sizes import BF16, PUBLIC, card, footprint, work
from tests.tiny_omni import READER, VISION, save_tiny_omni

READING = replace(
    PUBLIC, transformer=TransformerConfig(siglip_feat_dim=1152), vision=VisionConfig()
)
CARD = "meta"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("omni")
    save_tiny_omni(folder)
    save_file({"projection": torch.zeros(17, 3)}, folder / PREVIEW_FILE)
    return open_model(folder)


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def edited(model):
    """Paint a guided picture of 64 x 64 after a prompt and two pictures."""
    references = [
        Reference(latents=drawn(1, 16, 8, 12, seed=1), features=drawn(1, 3, 5, 24, seed=2)),
        Reference(latents=drawn(1, 16, 8, 8, seed=3), features=drawn(1, 4, 4, 24, seed=4)),
    ]
    scenes = []
    for seed, length in ((10, 9), (20, 40)):
        told = [drawn(1, n, 32, seed=seed + n).to(model.place.dtype) for n in (4, 2, length, 2)]
        scenes.append(model.look(model.refine_segments(told), references))
    sigmas, guidance = torch.linspace(1, 0, STEPS + 1), Guidance(scale=2.0)
    with model.visiting(Tour.MODULATE, 1):
        conditions = Conditions(positive=scenes[:1], negative=scenes[1:])
        denoiser = Denoiser(model.transformer, conditions, guidance, sigmas, (8, 8))
    with model.visiting(Tour.DENOISE, STEPS):
        noise = drawn(1, 16, 8, 8, seed=5)
        return denoise(denoiser, noise, sigmas, SAMPLERS["euler"], lambda *_: None)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_a_model_of_which_everything_streams_edits_the_same(precision, checkpoint, tmp_path):
    studio = Studio()
    expected = edited(load(studio, checkpoint, precision, plan_of(()), tmp_path))
    assert expected.isfinite().all() and expected.std() > 0.1
    pieces = {piece.name: piece.bytes for piece in sizes(checkpoint, precision).pieces}
    for source in Source:
        model = load(studio, checkpoint, precision, plan_of(pieces, source), tmp_path)
        assert torch.equal(edited(model), expected)
        mine = {n: b for n, b in pieces.items() if not n.startswith("text_encoder.")}
        assert slabs_of(model) == mine
        assert any("siglip_refiner" in name for name in mine)
    studio.forget()


def test_the_vision_encoder_passes_through_layer_by_layer(checkpoint, tmp_path):
    studio = Studio()
    model = load(studio, checkpoint, Precision.FP32, plan_of(()), tmp_path)
    whole = load_vision_encoder(checkpoint, torch.float32, torch.device("cpu"))
    patches, turns = drawn(1, 12, 768, seed=6), []
    with torch.inference_mode():
        seen = model.see(patches, (3, 4), lambda: turns.append(1))
        assert torch.equal(seen, whole(patches, (3, 4)))
    read = sum(1 for _ in whole.parameters())
    assert len(turns) == read + VISION.num_hidden_layers + 2
    turns.clear()

    def cancel():
        turns.append(1)
        if len(turns) > read:
            raise Cancelled("stop")

    with pytest.raises(Cancelled), torch.inference_mode():
        model.see(patches, (3, 4), cancel)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_tokens_of_a_sequence_are_those_that_are_planned_for(count):
    references = [
        Reference(latents=torch.zeros(1, 16, 8, 12), features=torch.zeros(1, 3, 5, 24))
    ] * count
    transformer = Transformer(READER)
    lengths = [4, *[2] * (count - 1), 60, 2] if count else [60]
    captions = transformer.refine_segments(
        [torch.zeros(1, n, 32) for n in lengths], [[n] for n in lengths]
    )
    context = transformer.arrange_scenes(transformer.look(captions, references), 10, 10)
    job = work(width=80, height=80, prompt_tokens=60, references=((96, 64),) * count, patches=15)
    assert job.tokens == context.joint_angles.cos.shape[1]


def test_a_forward_with_pictures_at_1024_fits_what_is_planned_for_it():
    config = TransformerConfig(n_layers=2, n_refiner_layers=1, siglip_feat_dim=1152)
    with fake():
        with torch.device("meta"):
            transformer = Transformer(config)
        placed(transformer, torch.bfloat16, CARD)
        for module in transformer.modules():
            if isinstance(module, Attention):
                module.attend = lambda q, _k, _v: torch.empty_like(q)
        make = {"dtype": torch.bfloat16, "device": CARD}
        seen = torch.empty(1, 16, 16, 1152, **make)
        told = [torch.empty(1, n, config.cap_feat_dim, **make) for n in (32, 96, 32)]
        picture = Reference(latents=torch.empty(1, 16, 128, 128, **make), features=seen)
        captions = transformer.refine_segments(told, [[32], [96], [32]])
        context = transformer.arrange_scenes(transformer.look(captions, [picture]), 128, 128)
        modulation = transformer.modulate(torch.empty(1, device=CARD), clean=True)
        latents = torch.empty(1, 16, 128, 128, **make)
        found = peak_bytes(transformer, latents, modulation, context, kind=CARD)
    job = work(prompt_tokens=96, references=((1024, 1024),), patches=256)
    plain = transformer_footprint(config, job.tokens, 1, 2)
    case = Case(job, model_sizes(READING, BF16), footprint(BF16), card(24), Wish())
    held = [context.captions, context.references, modulation.final_scale]
    angles = (context.image_angles, context.joint_angles)
    held += [part for angle in angles for part in (angle.cos, angle.sin)]
    held += [part for block in (*modulation.refiner, *modulation.layers) for part in block]
    held_bytes = sum(each.nbytes for each in held)
    assert found + held_bytes <= (case._working(1) - WORKSPACE) / FRAGMENTS
    assert found <= 1.1 * plain


def test_a_plan_counts_pictures_and_the_encoders_that_look_at_them():
    of, worker = model_sizes(READING, BF16), replace(footprint(BF16), networks=READING)
    plain, big = work(), ((1024, 1024),) * 3
    edit = work(references=big, encodes=big, patches=256)
    working = [Case(job, of, worker, card(48), Wish())._working(1) for job in (plain, edit)]
    tokens = 3 * (4096 + 256 + 32) + 64
    assert working[1] - working[0] > 4 * tokens * 3840 * 2
    assert of.vision_bytes == pytest.approx(0.86e9, rel=0.05)
    assert of.vision_layer_bytes < 40e6
    assert make_plan(edit, of, worker, card(4)).streamed
