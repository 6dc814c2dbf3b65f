"""What the reference saves, we load, and both compute the same."""

from __future__ import annotations

import pytest
import torch

from engine.checkpoints.load import (
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from engine.checkpoints.open import open_model
from engine.errors import Cancelled

CPU = torch.device("cpu")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@torch.inference_mode()
def test_a_transformer_saved_by_diffusers_gives_the_same_output_here(pipeline, reference_folder):
    ours = load_transformer(open_model(reference_folder), torch.float32, CPU)
    latents, features = torch.randn(1, 16, 8, 12), torch.randn(10, 48)
    expected = pipeline.transformer([latents[0].unsqueeze(1)], torch.tensor([0.3]), [features])
    context = ours.arrange([ours.refine_caption(features[None])[0]], 8, 12)
    found = ours(latents, ours.modulate(torch.tensor([0.3])), context)
    assert relative(found[0], expected.sample[0].squeeze(1)) < 1e-5


@torch.inference_mode()
def test_an_autoencoder_saved_by_diffusers_gives_the_same_output_here(pipeline, reference_folder):
    ours = load_vae(open_model(reference_folder), torch.float32, CPU)
    pictures, reference = torch.rand(1, 3, 32, 48) * 2 - 1, pipeline.vae
    moments = reference.encode(pictures).latent_dist.mode()
    latents = (moments - reference.config.shift_factor) * reference.config.scaling_factor
    assert relative(ours.encode(pictures), latents) < 1e-5
    assert relative(ours.decode(latents), reference.decode(moments).sample) < 1e-5


@torch.inference_mode()
def test_a_text_encoder_saved_by_transformers_gives_the_same_features(pipeline, reference_folder):
    ours = load_text_encoder(open_model(reference_folder), torch.float32, CPU)
    tokens = torch.randint(0, 300, (1, 20))
    states = pipeline.text_encoder(tokens, output_hidden_states=True).hidden_states
    assert relative(ours(tokens), states[-2]) < 1e-5


@pytest.mark.parametrize("load", [load_transformer, load_vae, load_text_encoder])
def test_a_load_can_be_cancelled_before_any_tensor(load, reference_folder):
    def cancel() -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise Cancelled("The user stopped the job.")

    asked = 0
    with pytest.raises(Cancelled):
        load(open_model(reference_folder), torch.float32, CPU, cancel)
    assert asked == 5


def test_the_tokenizer_gives_the_ids_of_the_reference(pipeline, reference_folder):
    text = "<|im_start|>user\na Red circle, 12 times\u00e9<|im_end|>\n"
    ours = load_tokenizer(open_model(reference_folder)).encode(text, add_special_tokens=False)
    assert ours.ids == pipeline.tokenizer(text)["input_ids"]
