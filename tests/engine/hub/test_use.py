"""What was downloaded is a model: found by its name, whole, and painted with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import FileRejected
from engine.hub import download, plan_download
from engine.jobs.order import Order, Output
from engine.memory.studio import Studio
from engine.request import Precision, Request
from engine.run import execute
from engine.settings import MODELS
from engine.tasks.find import find_model
from engine.variants import Download, by_name
from tests.engine.hub.server import QUICK, Hub, source
from tests.engine.inject import Told


@pytest.fixture
def fetched(hub: Hub, tiny_model: Path, tmp_path: Path) -> Path:
    """A data folder with a Base model that came over the network, as its files lie on the hub."""
    wanted = {
        "transformer/config.json": "transformer/config.json",
        "transformer/z_image_bf16.safetensors": "transformer/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json": "text_encoder/config.json",
        "text_encoder/qwen_3_4b.safetensors": "text_encoder/model.safetensors",
        "vae/config.json": "vae/config.json",
        "vae/ae.safetensors": "vae/diffusion_pytorch_model.safetensors",
        "tokenizer/tokenizer.json": "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json": "scheduler/scheduler_config.json",
    }
    files = []
    for to, path in wanted.items():
        hub.files[path] = (tiny_model / path).read_bytes()
        files.append(source(path, hub.files[path], to=to))
    variant = replace(
        by_name("base"), downloads=(Download(precision=Precision.BF16, files=tuple(files)),)
    )
    plan = plan_download(variant, Precision.AUTO, tmp_path / MODELS, endpoint=hub.endpoint)
    download(plan, patience=QUICK)
    return tmp_path


def paint(data: Path):
    request = Request(prompt="a cat", model="base", steps=1, width=64, height=64)
    order = Order(job="job", request=request, output=Output(folder=data), data_dir=data)
    return execute(order, Studio(), Told().hooks)


def test_a_download_is_found_by_its_name_and_knows_what_it_is(fetched):
    found = find_model(Request(prompt="x", model="base"), fetched)
    assert found.variant.name == "base"
    assert found.variant_known
    assert found.path == fetched / MODELS / "base-bf16"


def test_a_download_paints(fetched):
    (picture,) = paint(fetched).pictures
    assert picture.path.is_file()


def test_a_download_that_was_damaged_is_refused_before_it_is_loaded(fetched):
    path = fetched / MODELS / "base-bf16/vae/ae.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileRejected, match="other bytes") as caught:
        paint(fetched)
    assert "models download base --precision bf16" in str(caught.value)
