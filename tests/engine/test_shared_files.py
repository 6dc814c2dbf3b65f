"""What several processes change at once keeps what each of them wrote."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from engine.checkpoints import library, memory
from engine.checkpoints.library import Library
from engine.hub.reuse import Hashes
from engine.storage import exclusive


def hash_one(model: Path, data: Path) -> Path:
    Hashes(data / "hashes.json").remember(model / "model_index.json", "0" * 64)
    return data / "hashes.json"


def answer_one(model: Path, data: Path) -> Path:
    memory.remember("a digest", "base", data)
    return data / memory.FILE


def add_one(model: Path, data: Path) -> Path:
    Library(data).add(model, "mine")
    return data / library.FILE


@pytest.mark.parametrize("change", [hash_one, answer_one, add_one])
def test_a_change_waits_for_that_of_another_process(change, tiny_model, tmp_path):
    file = change(tiny_model, tmp_path / "first")
    (entry,) = json.loads(file.read_text()).items()
    other, shared = (str(tiny_model / "other"), entry[1]), tmp_path / "shared" / file.name
    if change is answer_one:
        other = ("another digest", "base")
    thread = threading.Thread(target=change, args=(tiny_model, shared.parent))
    with exclusive(shared):
        thread.start()
        thread.join(0.3)
        assert not shared.exists()
        shared.write_text(json.dumps(dict([other])))
    thread.join()
    assert json.loads(shared.read_text()) == dict([other, entry])


def test_a_model_is_taken_off_the_list_that_another_process_left(tiny_model, tmp_path):
    shelf = Library(tmp_path)
    shelf.add(tiny_model, "mine")
    thread = threading.Thread(target=shelf.remove, args=("mine",))
    with exclusive(tmp_path / library.FILE):
        thread.start()
        thread.join(0.3)
        found = json.loads((tmp_path / library.FILE).read_text())
        assert "mine" in found
        (tmp_path / library.FILE).write_text(json.dumps({**found, "other": "x"}))
    thread.join()
    assert [known.name for known in shelf.list()] == ["other"]
