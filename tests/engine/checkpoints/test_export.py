"""What we save, the reference and we ourselves load."""

from __future__ import annotations

import torch
from diffusers import ZImagePipeline
from transformers import Qwen3Model

from engine.checkpoints.load import load_text_encoder, load_transformer, load_vae
from engine.checkpoints.open import open_model

CPU = torch.device("cpu")


def test_a_saved_folder_holds_our_weights_rounded_to_float16(networks, our_folder):
    checkpoint = open_model(our_folder)
    loaded = (
        (networks.transformer, load_transformer(checkpoint, torch.float32, CPU)),
        (networks.vae, load_vae(checkpoint, torch.float32, CPU)),
        (networks.text_encoder, load_text_encoder(checkpoint, torch.float32, CPU)),
    )
    for saved, found in loaded:
        expected = {name: w.half().float() for name, w in saved.state_dict().items()}
        state = found.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_saved_folder_says_its_variant_shift_and_architecture(networks, our_folder):
    checkpoint = open_model(our_folder)
    assert checkpoint.variant.name == "demo-turbo"
    assert checkpoint.shift == 3.0
    assert checkpoint.transformer == networks.transformer.config
    assert checkpoint.vae == networks.vae.config


@torch.inference_mode()
def test_diffusers_loads_a_saved_folder_and_paints_with_it(networks, our_folder):
    pipeline = ZImagePipeline.from_pretrained(str(our_folder), dtype=torch.float32)
    tokens = torch.randint(0, 300, (1, 9))
    states = pipeline.text_encoder(tokens, output_hidden_states=True).hidden_states
    assert torch.allclose(states[-2], networks.text_encoder(tokens), rtol=1e-2, atol=1e-2)
    picture = pipeline(
        "a circle", height=32, width=32, num_inference_steps=1, guidance_scale=0.0,
        max_sequence_length=64, output_type="np",
    ).images[0]  # fmt: skip
    assert picture.shape == (32, 32, 3)


@torch.inference_mode()
def test_the_last_layer_that_nothing_reads_changes_nothing(our_folder):
    encoder = Qwen3Model.from_pretrained(str(our_folder / "text_encoder"), dtype=torch.float32)
    output = encoder(torch.randint(0, 300, (1, 9)), output_hidden_states=True)
    before = output.hidden_states[-2]
    expected = torch.nn.functional.rms_norm(before, before.shape[-1:], eps=1e-6)
    assert torch.allclose(output.last_hidden_state, expected, atol=1e-5)


def test_every_file_of_a_saved_folder_may_be_read_by_everyone(our_folder):
    files = [path for path in our_folder.rglob("*") if path.is_file()]
    assert len(files) >= 10
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
