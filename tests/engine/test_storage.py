"""Files appear whole or not at all, and are read within bounds."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine import storage
from engine.errors import DiskError, FileRejected, NotFound
from engine.storage import (
    atomic_write,
    make_folder,
    open_plain,
    picture_name,
    project_root,
    read_bounded,
    sweep_temporary,
    without_home,
)

NOON = datetime(2024, 2, 29, 12, 0, 0, 7000)


def test_the_project_root_holds_the_engine():
    assert (project_root() / "engine" / "storage.py").samefile(storage.__file__)


def test_a_written_file_holds_the_bytes_and_nothing_else_is_left(data_folder):
    atomic_write(data_folder / "a.bin", b"one")
    atomic_write(data_folder / "a.bin", b"two")
    assert [path.name for path in data_folder.iterdir()] == ["a.bin"]
    assert (data_folder / "a.bin").read_bytes() == b"two"


def test_a_file_is_complete_on_disk_before_it_gets_its_name(data_folder, monkeypatch):
    seen = []
    replace = Path.replace

    def look(self, target):
        seen.append((self.read_bytes(), target.exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    atomic_write(data_folder / "a.bin", b"all of it")
    assert seen == [(b"all of it", False)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
def test_a_written_file_has_the_usual_permissions(data_folder):
    before = os.umask(0o022)
    try:
        atomic_write(data_folder / "a.bin", b"x")
    finally:
        os.umask(before)
    assert (data_folder / "a.bin").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("place", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", ["ENOSPC", "EFBIG", "EDQUOT", "EROFS", "EACCES", "EIO"])
def test_a_failing_disk_is_an_error_that_names_folder_and_bytes(
    data_folder, monkeypatch, place, code
):
    (data_folder / "a.bin").write_bytes(b"old")
    number = getattr(errno, code)
    _break(monkeypatch, place, OSError(number, os.strerror(number)))
    with pytest.raises(DiskError, match=r"1,234 bytes") as caught:
        atomic_write(data_folder / "a.bin", bytes(1234))
    monkeypatch.undo()
    assert str(data_folder) in caught.value.message
    assert os.strerror(number) in caught.value.message
    assert caught.value.action
    assert [path.name for path in data_folder.iterdir()] == ["a.bin"]
    assert (data_folder / "a.bin").read_bytes() == b"old"


def _raise(error):
    def fail(*_arguments, **_options):
        raise error

    return fail


def _break(monkeypatch, place, error):
    fail = _raise(error)
    if place == "open":
        monkeypatch.setattr(Path, "open", fail)
    elif place == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif place == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        plain = Path.open

        def opened(self, mode="r"):
            stream = plain(self, mode, buffering=0)
            return _Full(stream, error)

        monkeypatch.setattr(Path, "open", opened)


class _Full:
    """A file on a disk that fills after three bytes."""

    def __init__(self, stream, error):
        self.stream, self.error = stream, error

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stream.close()

    def write(self, data):
        self.stream.write(data[:3])
        raise self.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_really_full_is_recognised(data_folder, monkeypatch):
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda _self, _mode: plain(Path("/dev/full"), "wb"))
    with pytest.raises(DiskError, match="No space left"):
        atomic_write(data_folder / "a.bin", b"x")


def test_a_missing_folder_is_an_error_that_says_what_to_do(data_folder):
    with pytest.raises(DiskError, match="Create the folder"):
        atomic_write(data_folder / "gone" / "a.bin", b"x")


def test_a_folder_that_cannot_be_synced_does_not_spoil_a_written_file(data_folder, monkeypatch):
    sync = os.fsync
    calls = []

    def refuse_folders(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EINVAL, "folders cannot be synced here")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    atomic_write(data_folder / "a.bin", b"x")
    assert len(calls) == 2 or os.name == "nt"


def test_making_a_folder_makes_its_parents_and_bears_repetition(data_folder):
    for _ in range(2):
        make_folder(data_folder / "a" / "b")
    assert (data_folder / "a" / "b").is_dir()


def test_a_folder_where_a_file_stands_is_an_error(data_folder):
    (data_folder / "a").write_bytes(b"")
    with pytest.raises(DiskError, match="could not be made"):
        make_folder(data_folder / "a" / "b")


def test_bytes_up_to_the_limit_are_read(data_folder):
    (data_folder / "a").write_bytes(b"12345")
    assert read_bounded(data_folder / "a", 5) == b"12345"
    with pytest.raises(FileRejected, match="more than 4 bytes"):
        read_bounded(data_folder / "a", 4)


def test_a_disk_that_fails_while_reading_is_an_error(data_folder, monkeypatch):
    class Failing(io.BytesIO):
        def read(self, *_size):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage, "open_plain", lambda _path: Failing())
    with pytest.raises(FileRejected, match=os.strerror(errno.EIO)):
        read_bounded(data_folder / "a", 5)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(data_folder):
    (data_folder / "a").touch(mode=0)
    with pytest.raises(FileRejected, match="cannot be read"):
        open_plain(data_folder / "a")


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folders")
def test_a_failing_sync_of_the_folder_is_an_error(data_folder, monkeypatch):
    monkeypatch.setattr(storage, "_write_through", Path.write_bytes)
    monkeypatch.setattr(os, "fsync", _raise(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(DiskError, match="Input/output error"):
        atomic_write(data_folder / "a.bin", b"x")


def test_a_missing_file_is_not_found(data_folder):
    with pytest.raises(NotFound, match="no file"):
        open_plain(data_folder / "a")


def test_a_dangling_link_is_not_found(data_folder):
    (data_folder / "a").symlink_to(data_folder / "b")
    with pytest.raises(NotFound):
        open_plain(data_folder / "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(data_folder):
    os.mkfifo(data_folder / "a")
    started = time.monotonic()
    with pytest.raises(FileRejected, match="no plain file"):
        open_plain(data_folder / "a")
    assert time.monotonic() - started < 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device files here")
def test_a_device_is_refused():
    with pytest.raises(FileRejected, match="no plain file"):
        open_plain(Path("/dev/zero"))


@pytest.mark.parametrize("name", [".", "a\0b", "\ud800"])
def test_a_folder_or_an_impossible_name_is_refused(data_folder, name):
    with pytest.raises(FileRejected):
        open_plain(data_folder / name)


def test_the_home_folder_is_written_as_a_sign(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/", "people", "ann"))
    assert without_home("/people/ann/a.png and /people/bob") == "~/a.png and /people/bob"


def test_a_root_that_is_somebodys_home_stays(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert without_home("1/2 of /data/a.png") == "1/2 of /data/a.png"


def test_a_user_without_a_home_is_no_failure(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert without_home("/data/a.png") == "/data/a.png"


def test_picture_names_state_their_time():
    pattern = r"20240229-120000-007-[0-9a-f]{8}\.png"
    assert re.fullmatch(pattern, picture_name(NOON))
    assert picture_name(NOON, "-2.webp").endswith("-2.webp")


def test_a_hundred_thousand_picture_names_are_unique_though_the_clock_goes_back():
    moments = [NOON + timedelta(milliseconds=n) for n in range(50_000)]
    names = {picture_name(moment).casefold() for moment in [*moments, *moments]}
    assert len(names) == 100_000


def test_old_temporary_files_are_swept_and_nothing_else(data_folder):
    stale = [data_folder / f".atelier-{n:016x}.tmp" for n in range(200)]
    fresh = [data_folder / f".atelier-{n:016x}.tmp" for n in range(200, 205)]
    others = [
        data_folder / name for name in ("a.tmp", "a.png", ".atelier-notes", "x.atelier-1.tmp")
    ]
    for path in [*stale, *fresh, *others]:
        path.write_bytes(b"x")
    for path in [*stale, *others]:
        os.utime(path, (0, 0))
    left, used = (data_folder / f".atelier-{name}.tmp" for name in ("left", "used"))
    for folder in (left, used):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    os.utime(left / "x", (0, 0))
    for folder in (left, used):
        os.utime(folder, (0, 0))
    assert sweep_temporary(data_folder) == 201
    assert set(data_folder.iterdir()) == {*fresh, *others, used}


def test_sweeping_a_missing_folder_removes_nothing(data_folder):
    assert sweep_temporary(data_folder / "gone") == 0


def test_a_folder_that_may_not_be_searched_is_left_alone(data_folder, monkeypatch):
    def closed(self, pattern):
        yield from ()
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "glob", closed)
    assert sweep_temporary(data_folder) == 0


def test_storage_needs_no_torch(tmp_path):
    import subprocess

    modules = (
        "engine.storage, engine.settings, engine.log, engine.images.metadata, engine.images.open"
    )
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=project_root(), check=True)


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_folder_that_can_be_made_is_writable(below, tmp_path):
    storage.check_writable(tmp_path / below)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "a"])
def test_a_file_is_no_folder_to_write_to(below, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file"):
        storage.check_writable(tmp_path / "file" / below)


def test_a_folder_without_the_right_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DiskError, match="cannot be written to"):
        storage.check_writable(tmp_path)


def test_a_file_written_in_pieces_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "weights"
    with storage.atomic_stream(path) as stream:
        stream.write(b"one")
        assert not path.exists()
        stream.write(b"two")
    assert path.read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_abandoned_on_the_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), storage.atomic_stream(path) as stream:
        stream.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_linked_or_where_that_cannot_be_copied(tmp_path, monkeypatch, links):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(type(tmp_path), "hardlink_to", refuse)
    source, path = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(b"weights")
    path.write_bytes(b"old")
    storage.link_or_copy(source, path)
    assert path.read_bytes() == b"weights"
    assert path.samefile(source) == links
    assert sorted(tmp_path.iterdir()) == [path, source]


def test_what_is_kept_by_one_waits_for_him(tmp_path):
    path, order = tmp_path / "data" / "list.json", []

    def other():
        with storage.exclusive(path):
            order.append("other")

    thread = threading.Thread(target=other)
    with storage.exclusive(path):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_a_file_that_another_keeps_too_long_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.05)
    with (
        storage.exclusive(tmp_path / "list.json"),
        pytest.raises(DiskError, match=r"keeps .*list\.json"),
        storage.exclusive(tmp_path / "list.json"),
    ):
        pytest.fail("both had it")


def test_a_file_is_free_again_after_a_failure(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), storage.exclusive(tmp_path / "list.json"):
            raise KeyError


@pytest.mark.skipif(os.name == "nt", reason="Windows always locks")
def test_a_disk_without_locks_is_said(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(fcntl, "flock", _raise(OSError(errno.ENOLCK, "No locks available")))
    with (
        pytest.raises(DiskError, match="cannot lock files: No locks"),
        storage.exclusive(tmp_path / "list.json"),
    ):
        pytest.fail("it had no lock")
