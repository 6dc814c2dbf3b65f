"""A tiny model, and engines that paint with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, Request, Settings
from tests.engine.workbench import Bench
from tests.tiny import save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A model folder of the Turbo kind; tests only read it."""
    folder = tmp_path_factory.mktemp("tiny-turbo")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def other_model(tmp_path_factory) -> Path:
    """A model folder of the Base kind with other weights."""
    folder = tmp_path_factory.mktemp("tiny-base")
    save_tiny_model(folder, seed=2, shift=6.0)
    return folder


@pytest.fixture
def ask(tiny_model):
    """Make a request to the tiny model, at its smallest size."""

    def make(prompt: str = "a red circle", **values: object) -> Request:
        small = {"model": str(tiny_model), "seed": 7, "steps": 3, "width": 64, "height": 64}
        return Request(prompt=prompt, **{**small, **values})

    return make


@pytest.fixture
def bench(tmp_path) -> Bench:
    """A studio that paints into a folder of the test's own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return Bench(folder)


@pytest.fixture
def engine(tmp_path):
    """An engine that paints in this process, into the test's own folder."""
    settings = Settings(output_folder=tmp_path / "pictures", data_dir=tmp_path / "data")
    with Engine(settings, in_process=True) as running:
        yield running
