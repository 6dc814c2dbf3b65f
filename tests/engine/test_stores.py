"""Whatever is kept can be measured and cleared, each kind for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine, Settings
from engine.memory.residence import SLABS
from engine.memory.studio import CACHES
from engine.memory.tensor_cache import PROMPTS, REFERENCES
from engine.service.stores import FOLDERS, TRASH, Keep, clear_folder, folder_size
from tests.engine.fakes import Script
from tests.engine.workbench import aged

PLACES = {
    Keep.PROMPTS: f"{CACHES}/{PROMPTS}/a",
    Keep.REFERENCES: f"{CACHES}/{REFERENCES}/a",
    Keep.SLABS: f"{CACHES}/{SLABS}/deep/a",
    Keep.SMALL: f"{CACHES}/thumbnails/a",
    Keep.PAGE: "page/ab/a",
    Keep.TRASH: f"{TRASH}/a",
}


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """Every kind with a file of its own size, and things that are no cache."""
    for size, place in enumerate([*PLACES.values(), "settings.json", "models/m"], 1):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    return tmp_path


@pytest.mark.parametrize("kind", PLACES)
def test_each_kind_is_measured_and_cleared_and_no_other(data_dir, kind):
    size = [*PLACES].index(kind) + 1
    assert folder_size(data_dir, kind) == size
    others = {path for path in data_dir.rglob("*") if path.is_file()} - {data_dir / PLACES[kind]}
    assert clear_folder(data_dir, kind) == size
    assert {path for path in data_dir.rglob("*") if path.is_file()} == others
    assert folder_size(data_dir, kind) == clear_folder(data_dir, kind) == 0


def test_the_folders_are_those_that_are_written_to():
    assert {FOLDERS[kind].split("/")[-1] for kind in FOLDERS} == {
        PROMPTS, REFERENCES, SLABS, TRASH, "page",
    }  # fmt: skip


def test_links_are_neither_followed_nor_counted(data_dir, tmp_path):
    (data_dir / "page" / "link").symlink_to(data_dir / "settings.json")
    assert folder_size(data_dir, Keep.PAGE) == 5
    clear_folder(data_dir, Keep.PAGE)
    assert (data_dir / "settings.json").exists()


def test_the_engine_tells_and_clears_every_kind(data_dir):
    with Engine(Settings(data_dir=data_dir), asleep=True, hire=Script().link) as engine:
        name = engine.keep_input(b"picture")
        sizes = {kept.kind: kept.size for kept in engine.kept()}
        assert list(sizes) == list(Keep)
        assert sizes[Keep.INPUTS] == 7
        assert sizes[Keep.SLABS] == 3
        assert name
        aged(data_dir)
        for kind in Keep:
            assert engine.clear(kind) == sizes[kind]
        assert not any(kept.size for kept in engine.kept())


def test_emptying_the_trash_strikes_its_pictures_from_the_history(data_dir):
    settings = Settings(data_dir=data_dir)
    with Engine(settings, asleep=True, journal=True, hire=Script().link) as engine:
        assert engine.clear(Keep.TRASH) == 6
