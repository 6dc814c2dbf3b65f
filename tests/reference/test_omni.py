"""Omni against the reference implementation, random weights, float32."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    ZImageOmniPipeline,
    ZImageTransformer2DModel,
)
from PIL import Image
from torch import Tensor
from transformers import (
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
    Siglip2VisionConfig,
    Siglip2VisionModel,
)
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from engine.checkpoints.keys import transformer_names
from engine.checkpoints.open import open_model
from engine.demo.tokenizer import build_tokenizer
from engine.denoise import Conditions, Denoiser, denoise
from engine.memory.place import Place
from engine.memory.studio import Studio
from engine.memory.tensor_cache import TensorCache
from engine.model.config import TransformerConfig
from engine.model.omni import Reference
from engine.model.transformer import Transformer
from engine.model.vae_strips import WHOLE
from engine.request import Precision, Request
from engine.sampling.guidance import Guidance
from engine.sampling.samplers import SAMPLERS
from engine.sampling.schedules import schedule
from engine.tasks.reading import reading_sizes
from engine.tasks.references import condition, read_picture
from engine.tasks.text_to_image import Captioning, noise
from tests.reference.conftest import fill, make_vae

CONFIG = TransformerConfig(
    dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, cap_feat_dim=48, axes_dims=(8, 12, 12),
    siglip_feat_dim=24,
)  # fmt: skip
TARGET = (12, 8)
SIZES = ((8, 12), (10, 6), (16, 16))
GRIDS = ((4, 6), (7, 5), (8, 8))
LENGTHS = (5, 33, 2, 40, 64)


class ZImageTransformer2DModelAligned(ZImageTransformer2DModel):
    """The reference without its one mistake: places of captions that count their padding twice."""

    def _pad_with_ids(self, feat, pos_grid_size, pos_start, device, noise_mask_val=None):
        found = super()._pad_with_ids(feat, pos_grid_size, pos_start, device, noise_mask_val)
        padded, places, *rest = found
        return padded, places[: len(padded)], *rest


def reference_transformer(kind: type[ZImageTransformer2DModel]) -> ZImageTransformer2DModel:
    torch.manual_seed(3)
    made = kind(
        dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, n_kv_heads=2, cap_feat_dim=48,
        axes_dims=[8, 12, 12], axes_lens=[1536, 512, 512], siglip_feat_dim=24,
    ).eval().requires_grad_(requires_grad=False)  # fmt: skip
    fill(made, 0.15)
    return made


def ours_of(theirs: ZImageTransformer2DModel) -> Transformer:
    ours, stored = Transformer(CONFIG).eval(), theirs.state_dict()
    weights = {
        name: torch.cat([stored[piece] for piece in transformer_names(name)])
        for name in ours.state_dict()
    }
    ours.load_state_dict(weights)
    assert sum(map(len, map(transformer_names, weights))) == len(stored)
    return ours.requires_grad_(requires_grad=False)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count: int) -> list[Reference]:
    return [
        Reference(latents=drawn(1, 16, *size, seed=i), features=drawn(1, *grid, 24, seed=90 + i))
        for i, (size, grid) in enumerate(zip(SIZES[:count], GRIDS[:count], strict=True))
    ]


def segments(lengths: tuple[int, ...], seed: int = 40) -> list[Tensor]:
    return [drawn(1, length, 48, seed=seed + i) for i, length in enumerate(lengths)]


def theirs_says(
    model: ZImageTransformer2DModel, noisy: Tensor, prompts: list[list[Tensor]], count: int
) -> Tensor:
    references, rows = pictures(count), range(len(noisy))
    clean = [each.latents[0].unsqueeze(1) for each in references]
    seen = [*(each.features[0] for each in references), None] if count else None
    said = model(
        x=[[*clean, noisy[row].unsqueeze(1)] for row in rows],
        t=torch.full((len(noisy),), 0.3),
        cap_feats=[[segment[0] for segment in prompt] for prompt in prompts],
        siglip_feats=[seen for _ in rows],
        image_noise_mask=[[0] * count + [1] for _ in rows],
        return_dict=False,
    )[0]
    return torch.stack([each.squeeze(1) for each in said])


def ours_says(model: Transformer, noisy: Tensor, prompts: list[list[Tensor]], count: int) -> Tensor:
    scenes = []
    for prompt in prompts:
        captions = model.refine_segments(prompt, [[part.shape[1]] for part in prompt])
        scenes += model.look(captions, pictures(count))
    context = model.arrange_scenes(scenes, *noisy.shape[-2:])
    return model(noisy, model.modulate(torch.tensor([0.3]), clean=True), context)


def lengths_for(count: int) -> tuple[int, ...]:
    return LENGTHS[: count + 2] if count else LENGTHS[1:2]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_captions_without_padding_go_as_in_the_reference_itself(measured, count):
    theirs = reference_transformer(ZImageTransformer2DModel)
    prompts = [segments((32, 64, 32, 96, 32)[: count + 2] if count else (32,))]
    noisy = drawn(1, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, count)
    measured(ours_says(ours_of(theirs), noisy, prompts, count), right, 1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_captions_of_any_length_go_as_in_the_reference_with_aligned_places(measured, count):
    theirs = reference_transformer(ZImageTransformer2DModelAligned)
    prompts, noisy = [segments(lengths_for(count))], drawn(1, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, count)
    measured(ours_says(ours_of(theirs), noisy, prompts, count), right, 1e-4)


@pytest.mark.parametrize("other", [(5, 31, 2), (5, 70, 2)], ids=["dense", "ragged"])
def test_two_prompts_with_one_picture_go_as_in_the_reference(measured, other):
    theirs = reference_transformer(ZImageTransformer2DModelAligned)
    prompts = [segments((5, 20, 2)), segments(other, seed=60)]
    noisy = drawn(2, 16, *TARGET, seed=7)
    right = theirs_says(theirs, noisy, prompts, 1)
    measured(ours_says(ours_of(theirs), noisy, prompts, 1), right, 1e-4)


def test_a_training_batch_goes_as_its_rows_do_alone(measured):
    model = ours_of(reference_transformer(ZImageTransformer2DModelAligned))
    lengths, noisy = [[5, 5], [20, 31], [2, 2]], drawn(2, 16, *TARGET, seed=7)
    features = [drawn(2, max(each), 48, seed=40 + i) for i, each in enumerate(lengths)]
    latents, seen = drawn(2, 16, 8, 12, seed=1), drawn(2, 4, 6, 24, seed=2)
    times = torch.tensor([0.2, 0.7])

    def says(rows: slice) -> Tensor:
        own = [part[rows, : max(n[rows])] for part, n in zip(features, lengths, strict=True)]
        captions = model.refine_segments(own, [each[rows] for each in lengths])
        pair = [Reference(latents=latents[rows], features=seen[rows])]
        context = model.arrange_scenes(model.look(captions, pair), *TARGET)
        return model(noisy[rows], model.modulate(times[rows], clean=True), context)

    alone = torch.cat([says(slice(0, 1)), says(slice(1, 2))])
    measured(says(slice(None)), alone, 1e-4)


def test_training_reaches_every_weight():
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    captions = model.refine_segments(segments((5, 20, 2)), [[5], [20], [2]])
    context = model.arrange_scenes(model.look(captions, pictures(1)), *TARGET)
    noisy = drawn(1, 16, *TARGET, seed=7)
    model(
        noisy, model.modulate(torch.tensor([0.3]), clean=True), context
    ).square().mean().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


class ZImagePrecisePipeline(ZImageOmniPipeline):
    """The reference with pictures encoded in the autoencoder's own numbers, not in bfloat16."""

    def prepare_image_latents(self, images, batch_size, device, dtype):
        config = self.vae.config
        latents = [
            (self.vae.encode(image).latent_dist.mode()[0] - config.shift_factor)
            * config.scaling_factor
            for image in images
        ]
        return [[each.unsqueeze(1) for each in latents] for _ in range(batch_size)]


@pytest.fixture(scope="module")
def editor(tmp_path_factory) -> ZImageOmniPipeline:
    """A random model of the reference's own classes that edits, its places aligned."""
    torch.manual_seed(0)
    transformer = reference_transformer(ZImageTransformer2DModelAligned)
    config = Qwen3Config(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=12, intermediate_size=96, vocab_size=512, rope_theta=1e6,
    )  # fmt: skip
    vision = Siglip2VisionModel(
        Siglip2VisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_patches=16,
            vision_use_head=False,
        )
    )
    vae, encoder = make_vae(), Qwen3Model(config)
    for module in (vae, encoder, vision):
        fill(module, 0.15)
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    made = ZImagePrecisePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=encoder.eval(),
        tokenizer=Qwen2Tokenizer.from_pretrained(str(folder)),
        transformer=transformer,
        siglip=vision.eval(),
        siglip_processor=Siglip2ImageProcessorPil(max_num_patches=20),
    )
    made.set_progress_bar_config(disable=True)
    return made


def photo(width: int, height: int) -> Image.Image:
    levels = torch.nn.functional.interpolate(drawn(1, 3, 6, 6, seed=width), size=(height, width))
    return Image.fromarray(((levels[0] * 60 + 128).clamp(0, 255)).byte().permute(1, 2, 0).numpy())


@pytest.fixture(scope="module")
def edited(editor, tmp_path_factory):
    """Edit with our engine's parts; return the latents before decoding."""
    folder = tmp_path_factory.mktemp("editor")
    editor.save_pretrained(str(folder))
    checkpoint = open_model(folder)
    assert checkpoint.variant.edits
    place = Place(device="cpu", precision=Precision.FP32)
    model = Studio().model(checkpoint, place, lambda: None)
    cache = TensorCache(tmp_path_factory.mktemp("cache"))
    how = Captioning(warn=pytest.fail)

    @torch.inference_mode()
    def edit(asked: Request, pictures: list[Image.Image]) -> Tensor:
        sizes = reading_sizes(asked, checkpoint.variant, [each.size for each in pictures])
        read = [
            read_picture(model, picture, size, WHOLE, cache)
            for picture, size in zip(pictures, sizes, strict=True)
        ]
        both = (condition(model, text, how, read) for text in (asked.prompt, asked.negative))
        positive, negative = both
        start = noise(asked.seed, 1, asked.width, asked.height)
        sigmas = schedule(asked.steps, asked.shift)
        denoiser = Denoiser(
            model.transformer,
            Conditions(positive=(positive,), negative=(negative,)),
            Guidance(scale=asked.guidance_scale),
            sigmas,
            (start.shape[-2], start.shape[-1]),
        )
        return denoise(denoiser, start, sigmas, SAMPLERS["euler"], lambda *_: None)

    return edit


@pytest.mark.parametrize(
    "sizes",
    [(), ((96, 64),), ((100, 75), (64, 130)), ((70, 90), (64, 64), (128, 80))],
    ids=["none", "one", "two", "three"],
)
def test_a_full_edit_goes_as_in_the_reference(editor, edited, measured, sizes):
    asked = Request(
        prompt="a red circle on the left", negative="blue", width=96, height=80, seed=5, steps=3,
        shift=3.0, guidance_scale=2.5,
    )  # fmt: skip
    pictures = [photo(*size) for size in sizes]
    with torch.inference_mode():
        right = editor(
            image=pictures or None,
            prompt=[asked.prompt],
            negative_prompt=[asked.negative],
            width=asked.width,
            height=asked.height,
            num_inference_steps=asked.steps,
            guidance_scale=asked.guidance_scale,
            latents=noise(asked.seed, 1, asked.width, asked.height),
            output_type="latent",
        ).images
    measured(edited(asked, pictures), right, 1e-4)
