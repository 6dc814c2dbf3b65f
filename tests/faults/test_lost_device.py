"""A graphics card that fails takes its worker along, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import Engine, Request, Settings, events
from tests.tiny import save_tiny_model

SITE = "from tests.engine.inject import make_fragile\nmake_fragile()\n"
ALL = (1, 30, 100, 250, 400, 600, 700, 850, 1000, 1100)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    return folder


@pytest.fixture
def fragile(tmp_path, monkeypatch):
    """An engine whose painting process, a real one, loses its card where a prompt says so."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    paths = (str(site), os.environ.get("PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    settings = Settings(output_folder=tmp_path / "pictures", data_dir=tmp_path / "data")
    with Engine(settings) as engine:
        yield engine


def lose_and_go_on(engine: Engine, model: Path, points) -> None:
    """Lose the card at each of some operations; the job after it is painted as always."""
    asked = Request(prompt="x", model=str(model), seed=1, steps=2, width=64, height=64)
    golden = None
    for point in points:
        lost = engine.submit(asked.with_values(prompt=f"lost at {point}"))
        waiting = engine.submit(asked)
        *_, failed = engine.events(lost)
        assert isinstance(failed, events.Failed), point
        assert failed.error.code == "worker_lost"
        assert failed.error.message.startswith("The graphics card failed while")
        assert "unspecified launch failure" in failed.error.message
        *_, done = engine.events(waiting)
        picture = done.result.pictures[0].path.read_bytes()
        golden = golden or picture
        assert picture == golden
    assert len(list(engine.settings.output_folder.glob("*.png"))) == len(points)


def test_a_lost_card_fails_its_job_alone_and_the_next_one_gets_a_new_worker(fragile, model):
    lose_and_go_on(fragile, model, (700,))


@pytest.mark.slow
def test_a_card_may_be_lost_anywhere(fragile, model):
    lose_and_go_on(fragile, model, ALL)
