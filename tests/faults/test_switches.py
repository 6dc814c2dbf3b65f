"""Going from model to model, well or badly, leaves one model and no memory behind."""

from __future__ import annotations

import gc
import random
import weakref
from pathlib import Path

import pytest

from engine import Request, errors
from engine.memory.probe import anonymous_gib
from engine.memory.studio import Studio
from engine.request import Lora
from tests.engine.inject import OutOfMemoryAt, Told
from tests.engine.test_run_adapters import write_lora
from tests.engine.workbench import Bench
from tests.tiny import save_tiny_model

SWITCHES = 50
WARM = 12
MAY_GROW = 20 / 1024


@pytest.fixture
def bench(tmp_path) -> Bench:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return Bench(folder)


@pytest.fixture
def alive(monkeypatch) -> list[weakref.ref]:
    """Every transformer that a studio handed out."""
    seen: list[weakref.ref] = []
    real = Studio.model

    def model(self, *arguments):
        found = real(self, *arguments)
        seen.append(weakref.ref(found.transformer))
        return found

    monkeypatch.setattr(Studio, "model", model)
    return seen


def models(folder: Path) -> list[str]:
    """Two models that load, and one with a weight cut off."""
    paths = [folder / name for name in ("turbo", "base", "damaged")]
    for number, path in enumerate(paths):
        path.mkdir()
        save_tiny_model(path, seed=number, shift=6.0 if path.name == "base" else 3.0)
    weights = next((paths[2] / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8])
    return [str(path) for path in paths]


def switch(bench: Bench, request: Request, way: str) -> None:
    """Paint with a model, run out of memory for good while loading it, or cancel that."""
    try:
        if way == "short":
            with OutOfMemoryAt(300, float("inf")):
                bench.run(request)
        elif way == "cancelled":
            bench.run(request, Told(stop=lambda told: len(told.steps) > 0))
        else:
            bench.run(request)
    except (errors.FileRejected, errors.OutOfMemory, errors.Cancelled):
        return


@pytest.mark.slow
def test_fifty_switches_leave_one_model_and_no_memory_behind(bench, tmp_path, alive):
    chance = random.Random(0)
    turbo, base, damaged = models(tmp_path)
    lora = write_lora(tmp_path / "style.safetensors")
    ways = ["paint", "paint", "paint", "short", "cancelled"]
    before = 0.0
    for number in range(WARM + SWITCHES):
        if number == WARM:
            gc.collect()
            before = anonymous_gib()
        request = Request(
            prompt=chance.choice(["a cat", "a dog"]),
            model=chance.choice([turbo, turbo, base, base, damaged]),
            precision=chance.choice(["fp32", "bf16", "int8"]),
            loras=chance.choice([(), (Lora(lora.name, 0.5),)]),
            seed=1,
            steps=1,
            width=64,
            height=64,
        )
        switch(bench, request, chance.choice(ways))
        gc.collect()
        living = {reference for reference in alive if reference() is not None}
        assert len(living) <= 1, number
    assert len(alive) > SWITCHES // 2
    assert anonymous_gib() - before <= MAY_GROW
    bench.studio.forget()
