"""The folder of things that can be made again."""

from __future__ import annotations

import logging
import os

import pytest

from engine.cache import DiskCache
from engine.storage import STALE_SECONDS, temporary_beside


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "things"


@pytest.fixture
def cache(folder):
    return DiskCache(folder, ".thing", limit=100)


def age(folder, cache, key, seconds):
    """Let a file look as if it was last used a while ago."""
    path = cache.find(key)
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)
    return path


def test_what_is_kept_is_found_again_by_another_process(cache, folder):
    cache.keep(b"key", b"data")
    assert DiskCache(folder, ".thing", limit=100).find(b"key").read_bytes() == b"data"
    assert cache.find(b"other") is None


def test_names_tell_nothing_about_the_keys(cache, folder):
    cache.keep(b"a secret", b"data")
    (path,) = folder.iterdir()
    assert len(path.stem) == 64
    assert "secret" not in path.name


def test_what_was_used_least_recently_makes_room(cache, folder):
    for number, key in enumerate((b"a", b"b", b"c")):
        cache.keep(key, bytes(40))
        if number < 2:
            age(folder, cache, key, 100 - number)
    assert cache.find(b"a") is None
    assert cache.find(b"b")
    assert cache.find(b"c")


def test_finding_counts_as_use(cache, folder):
    cache.keep(b"a", bytes(40))
    cache.keep(b"b", bytes(40))
    age(folder, cache, b"b", 100)
    age(folder, cache, b"a", 200)
    assert cache.find(b"a")
    cache.keep(b"c", bytes(40))
    assert cache.find(b"a")
    assert cache.find(b"b") is None


def test_what_is_larger_than_the_whole_cache_pushes_nothing_out(cache):
    cache.keep(b"a", bytes(40))
    cache.keep(b"b", bytes(101))
    assert cache.find(b"a")
    assert cache.find(b"b") is None


def test_files_of_others_are_neither_counted_nor_removed(cache, folder):
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_bytes(bytes(1000))
    cache.keep(b"a", bytes(90))
    assert cache.find(b"a")
    assert (folder / "notes.txt").exists()


def test_a_folder_that_cannot_be_written_to_is_a_line_in_the_log(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    cache = DiskCache(tmp_path / "file" / "things", ".thing", limit=100)
    with caplog.at_level(logging.WARNING):
        cache.keep(b"key", b"data")
    assert cache.find(b"key") is None
    assert "Nothing is kept for later" in caplog.text


def test_what_is_dropped_is_gone_and_the_log_says_why(cache, caplog):
    cache.keep(b"key", b"data")
    with caplog.at_level(logging.WARNING):
        cache.drop(b"key", "It was damaged.")
        cache.drop(b"key", "It was gone.")
    assert cache.find(b"key") is None
    assert "It was damaged." in caplog.text


def test_a_folder_under_the_name_of_a_kept_file_is_no_kept_file(cache, folder):
    cache.keep(b"key", b"data")
    path = cache.find(b"key")
    path.unlink()
    path.mkdir()
    assert cache.find(b"key") is None


def test_what_a_killed_writer_left_goes(cache, folder):
    folder.mkdir(parents=True)
    left = temporary_beside(folder / "x")
    left.write_bytes(bytes(10))
    long_ago = left.stat().st_mtime - STALE_SECONDS - 10
    os.utime(left, (long_ago, long_ago))
    cache.keep(b"key", b"data")
    assert not left.exists()


def test_a_file_that_vanishes_meanwhile_harms_nobody(cache, folder, monkeypatch):
    cache.keep(b"a", bytes(60))
    path = cache.find(b"a")
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda *given: path.unlink() or utime(*given))
    assert cache.find(b"a") == path
    monkeypatch.undo()
    cache.keep(b"b", bytes(60))
    assert cache.find(b"b")
