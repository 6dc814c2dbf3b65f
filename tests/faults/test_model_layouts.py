"""Whatever a model file claims to hold ends in a model, or in one clear sentence."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.checkpoints.info import describe
from engine.checkpoints.load import load_text_encoder, load_transformer, load_vae
from engine.checkpoints.open import open_model
from engine.errors import UserError
from tests.engine.checkpoints import layouts, true_size
from tests.tiny import save_tokenizer

CPU = torch.device("cpu")
CASES = 60
TELLING = ("embed_tokens", "x_embedder.", "cap_embedder", "q_norm", "conv_in", "layers.0.", "conv1")
DTYPES = ("I8", "U8", "F8_E4M3", "F32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a tokenizer, for a file to lie in."""
    path = tmp_path_factory.mktemp("model")
    save_tokenizer(path / "tokenizer")
    return path


@pytest.fixture(scope="module")
def entries(folder, tmp_path_factory) -> true_size.Entries:
    """The names and shapes of a right file that holds all three networks."""
    source = layouts.save_public(tmp_path_factory.mktemp("public"), folder / "tokenizer")
    weights = layouts.all_in_one_weights(source)
    shutil.rmtree(source)
    return {name: ("F16", tuple(weight.shape)) for name, weight in weights.items()}


SHAPE_FAULTS: tuple[Callable[[tuple[int, ...]], tuple[int, ...]], ...] = (
    lambda shape: (0, *shape[1:]),
    lambda shape: shape[:-1],
    lambda shape: (*shape, 1),
    lambda shape: tuple(2 * side for side in shape),
    lambda shape: (),
    lambda shape: shape[::-1],
    lambda _: (1,) * 6,
    lambda shape: tuple(max(1, side // 2) for side in shape),
)
NAME_FAULTS: tuple[Callable[[str], str], ...] = (
    lambda name: name.replace("0", "9"),
    lambda name: name.partition(".")[2] or "x",
    lambda name: f"x.{name}",
    lambda name: f"{name}._data",
    lambda name: name.replace(".weight", ".weight_scale"),
    lambda name: name.replace("layers.1", "layers.99999"),
    lambda name: name.replace("diffusion_model", "vae"),
)


def spoiled(entries: true_size.Entries, seed: int) -> true_size.Entries:
    """A copy with one to ten faults, most of them where the architecture is read from."""
    draw, found = random.Random(seed), dict(entries)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 10))):
        names = [n for n in found if draw.random() < 0.4 or any(piece in n for piece in TELLING)]
        name = draw.choice(names)
        dtype, shape = found[name]
        match draw.randrange(5):
            case 0:
                del found[name]
            case 1:
                found[name] = (dtype, draw.choice(SHAPE_FAULTS)(shape))
            case 2:
                found[draw.choice(NAME_FAULTS)(name)] = found.pop(name)
            case 3:
                found[name] = (draw.choice(DTYPES), shape)
            case _:
                found[draw.choice(NAME_FAULTS)(name)] = found[name]
    return found


def test_a_file_with_faults_is_opened_or_refused_in_a_sentence(folder, entries):
    refused, start = 0, time.process_time()
    for seed in range(CASES):
        path = true_size.write(folder / "model.safetensors", spoiled(entries, seed))
        try:
            describe(path)
            checkpoint = open_model(path)
            for load in (load_transformer, load_vae, load_text_encoder):
                load(checkpoint, torch.float32, CPU)
        except UserError as error:
            assert error.message.endswith("."), (seed, error.message)
            refused += 1
    assert CASES * 0.6 < refused < CASES
    assert (time.process_time() - start) / CASES < 1
