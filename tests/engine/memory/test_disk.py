"""The speed of a disk, told apart from that of the system's cache."""

from __future__ import annotations

import os

import pytest

from engine.memory import disk
from engine.memory.disk import CHUNK, disk_rate, sample


@pytest.fixture
def small_chunks(monkeypatch):
    """Make files of some kilobytes worth reading."""
    monkeypatch.setattr(disk, "CHUNK", 4096)


@pytest.fixture
def model(tmp_path, small_chunks):
    file = tmp_path / "model.safetensors"
    file.write_bytes(os.urandom(40 * 4096))
    return file


def test_the_largest_file_of_the_first_folder_with_one_is_read(tmp_path, small_chunks):
    (tmp_path / "empty").mkdir()
    for name, size in {"a/x": 4096, "a/b/y": 8192, "c/z": 16384}.items():
        file = tmp_path / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    chosen = sample(None, tmp_path / "none", tmp_path / "empty", tmp_path / "a", tmp_path / "c")
    assert chosen == tmp_path / "a/b/y.safetensors"


def test_a_small_file_tells_nothing(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(bytes(CHUNK - 1))
    assert sample(tmp_path) is None
    assert disk_rate(tmp_path / "x.safetensors") == 0.0


def test_a_file_that_lies_in_the_cache_tells_nothing(model, monkeypatch):
    monkeypatch.setattr(disk, "_is_cached", lambda *_: True)
    assert disk_rate(model) == 0.0


def test_pieces_outside_the_cache_tell_the_rate(model, monkeypatch):
    asked = []

    def is_cached(_descriptor, start):
        asked.append(start)
        return len(asked) % 2 == 0

    monkeypatch.setattr(disk, "_is_cached", is_cached)
    assert disk_rate(model) > 0
    assert asked == sorted(set(asked))
    assert len(asked) >= disk.CHUNKS


def test_a_slow_disk_is_not_read_for_long(model, monkeypatch):
    clock = iter(x * 0.1 for x in range(1000))
    monkeypatch.setattr(disk, "_is_cached", lambda *_: False)
    monkeypatch.setattr(disk.time, "perf_counter", lambda: next(clock))
    # Three pieces within half a second of such a clock: each takes a tick of 0.1 s.
    assert disk_rate(model) == pytest.approx(4096 / 0.1)
    assert next(clock) < 1.0


@pytest.mark.skipif(not disk.SEES_CACHE, reason="this system does not tell what it caches")
def test_the_cache_is_asked_to_let_go_and_asked_again(model, monkeypatch):
    dropped = []
    monkeypatch.setattr(disk.os, "posix_fadvise", lambda *call: dropped.append(call))
    with model.open("rb") as stream:
        monkeypatch.setattr(disk.os, "preadv", lambda *_: 1)
        assert disk._is_cached(stream.fileno(), 4096)
        assert dropped == [(stream.fileno(), 4096, 4096, os.POSIX_FADV_DONTNEED)]

        def would_wait(*_):
            raise BlockingIOError

        monkeypatch.setattr(disk.os, "preadv", would_wait)
        assert not disk._is_cached(stream.fileno(), 0)


def test_a_file_that_is_gone_tells_nothing(tmp_path):
    assert disk_rate(tmp_path / "none.safetensors") == 0.0
