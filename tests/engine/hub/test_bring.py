"""A file of this machine comes into its place whole, as a link or as a copy that was checked."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from engine.errors import Cancelled, DiskError, FileRejected
from engine.hub import download
from engine.hub.reuse import Way, bring
from engine.hub.watch import Watch
from tests.engine.hub.server import QUICK, model, noise, planned, sha256

DATA = noise(3_000_000)


@pytest.fixture
def original(tmp_path) -> Path:
    path = tmp_path / "other" / "weights"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


@pytest.fixture
def final(tmp_path) -> Path:
    return tmp_path / "model" / "transformer" / "weights"


@pytest.fixture
def without_links(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "symlink_to", refuse)


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_gets_a_second_name(original, final):
    assert bring(original, final, sha256(DATA), Watch()) is Way.LINK
    assert final.samefile(original)
    assert left_in(final.parent) == ["weights"]


@pytest.mark.usefixtures("without_links")
def test_a_disk_that_knows_no_links_gets_a_copy(hub, tmp_path):
    variant = model(hub)
    original = tmp_path / "other" / "weights.safetensors"
    original.parent.mkdir()
    original.write_bytes(hub.files["transformer/weights.safetensors"])
    folder = download(planned(hub, variant, tmp_path / "models", original.parent), patience=QUICK)
    final = folder / "transformer/weights.safetensors"
    assert final.read_bytes() == original.read_bytes()
    assert not final.samefile(original)
    assert left_in(final.parent) == [final.name]


@pytest.mark.usefixtures("without_links")
def test_a_copy_can_be_cancelled_in_its_middle(original, final):
    asked = []

    def cancelled() -> bool:
        asked.append(left_in(final.parent))
        return len(asked) == 2

    with pytest.raises(Cancelled):
        bring(original, final, sha256(DATA), Watch(cancelled))
    assert len(asked) == 2 and "weights" not in asked[-1]
    assert left_in(final.parent) == []


@pytest.mark.usefixtures("without_links")
def test_a_copy_with_other_bytes_never_gets_the_name(original, final):
    final.parent.mkdir(parents=True)
    final.write_bytes(b"what lay there")
    with pytest.raises(FileRejected, match="changed"):
        bring(original, final, sha256(DATA[1:]), Watch())
    assert final.read_bytes() == b"what lay there"
    assert left_in(final.parent) == ["weights"]


@pytest.mark.parametrize("links", [True, False])
def test_two_that_bring_the_same_file_do_not_meet(original, final, monkeypatch, links, request):
    if not links:
        request.getfixturevalue("without_links")
    both, bad = threading.Barrier(2), []
    replace = Path.replace

    def together(self: Path, target: Path) -> Path:
        both.wait(5.0)
        return replace(self, target)

    def run() -> None:
        try:
            bring(original, final, sha256(DATA), Watch())
        except (DiskError, threading.BrokenBarrierError) as error:
            bad.append(error)

    monkeypatch.setattr(Path, "replace", together)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == []
    assert final.read_bytes() == DATA
    assert left_in(final.parent) == ["weights"]


@pytest.mark.usefixtures("without_links")
def test_what_a_killed_copy_left_is_removed_by_the_next(original, final):
    final.parent.mkdir(parents=True)
    stale = final.parent / ".atelier-0123456789abcdef.tmp"
    stale.write_bytes(DATA)
    os.utime(stale, (0, 0))
    bring(original, final, sha256(DATA), Watch())
    assert left_in(final.parent) == ["weights"]
