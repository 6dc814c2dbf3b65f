"""The files of a job are written together or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import errors, run
from engine.events import Stage
from engine.jobs.order import Order, Output
from engine.memory.studio import Studio
from engine.tasks import saving
from tests.engine.inject import Told


def paint(request, folder: Path, told: Told | None = None, **output):
    order = Order(job="job", request=request, output=Output(folder=folder, **output))
    return run.execute(order, Studio(), (told or Told()).hooks)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_disk_that_fills_up_between_two_files_leaves_none_of_them(
    ask, tmp_path, monkeypatch, written
):
    write, left = saving.atomic_write, [written]

    def until_full(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise errors.DiskError("The disk is full.")
        write(path, data)

    monkeypatch.setattr(saving, "atomic_write", until_full)
    with pytest.raises(errors.DiskError, match="full"):
        paint(ask(steps=1, count=2), tmp_path, latents=tmp_path / "l.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_cancel_is_heard_between_two_pictures_that_are_encoded(ask, tmp_path, monkeypatch):
    encoded, encode = [], saving.encode

    def counted(*arguments) -> bytes:
        encoded.append(1)
        return encode(*arguments)

    monkeypatch.setattr(saving, "encode", counted)
    told = Told(stop=lambda told: told.steps[-1:] != [] and len(encoded) == 2)
    with pytest.raises(errors.Cancelled):
        paint(ask(steps=1, count=4), tmp_path, told)
    assert told.steps[-1].stage is Stage.SAVING
    assert len(encoded) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_in_a_folder_is_removed_with_the_next_picture(ask, tmp_path):
    (tmp_path / ".atelier-0.tmp").write_bytes(b"half")
    os.utime(tmp_path / ".atelier-0.tmp", (0, 0))
    paint(ask(steps=1), tmp_path, name="a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
