"""A folder moves whole or not at all, and the program finds what was in it."""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from engine import Engine, Request, Settings
from engine.errors import BadRequest, Cancelled, DiskError, QueueFull
from engine.events import Done, Picture, Result
from engine.jobs.order import Order, Output
from engine.journal.pictures import Search
from engine.service import moving
from engine.service.moving import move_folder
from engine.settings import MODELS, load, models_folder
from engine.storage import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, temporary_beside
from tests.engine.fakes import Script


@pytest.fixture
def old(tmp_path) -> Path:
    folder = tmp_path / "old"
    for name, data in (("a.png", b"a"), ("sub/b.png", b"bb"), ("sub/deeper/c", b"")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def other_drive(monkeypatch):
    """Renaming between folders fails as it does between drives."""

    def rename(self, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", rename)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_file_moves_and_the_old_folder_goes(old, tmp_path):
    before, told = files_in(old), []
    assert move_folder(old, tmp_path / "new" / "place", lambda *done: told.append(done)) == 3
    assert files_in(tmp_path / "new" / "place") == before
    assert not old.exists()
    assert told == [(1, 3), (3, 3), (3, 3)]


@pytest.mark.usefixtures("other_drive")
def test_on_another_drive_files_are_copied_and_their_originals_removed(old, tmp_path):
    before = files_in(old)
    assert move_folder(old, tmp_path / "new") == 3
    assert files_in(tmp_path / "new") == before
    assert not old.exists()


@pytest.mark.usefixtures("other_drive")
def test_a_drive_that_fills_up_leaves_everything_where_it_was(old, tmp_path, monkeypatch):
    before, copied = files_in(old), []

    def copy(source, target, _length):
        copied.append(target)
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        target.write(source.read())

    monkeypatch.setattr(moving.shutil, "copyfileobj", copy)
    with pytest.raises(DiskError, match="space"):
        move_folder(old, tmp_path / "new")
    assert files_in(old) == before
    assert files_in(tmp_path / "new") == {}


def test_whoever_stops_it_finds_everything_where_it_was(old, tmp_path):
    before, asked = files_in(old), []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Cancelled):
        move_folder(old, tmp_path / "new", cancelled=cancelled)
    assert files_in(old) == before
    assert files_in(tmp_path / "new") == {}


def test_a_file_that_is_there_already_is_never_replaced(old, tmp_path):
    there = tmp_path / "new" / "sub" / "b.png"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"another")
    before = files_in(old)
    with pytest.raises(BadRequest, match=r"b\.png already"):
        move_folder(old, tmp_path / "new")
    assert files_in(old) == before
    assert there.read_bytes() == b"another"


@pytest.mark.parametrize("new", ["old/inside", "."])
def test_a_folder_does_not_move_into_itself(old, tmp_path, new):
    with pytest.raises(BadRequest, match="lie in each other"):
        move_folder(old, tmp_path / new)


def test_a_folder_that_is_not_there_has_nothing_to_move(tmp_path):
    assert move_folder(tmp_path / "none", tmp_path / "new") == 0
    assert not (tmp_path / "new").exists()


def test_what_a_job_is_about_to_finish_stays_where_it_is(old, tmp_path):
    begun = old / "sub" / f"{TEMPORARY_PREFIX}5{TEMPORARY_SUFFIX}"
    begun.write_bytes(b"half a picture")
    (temporary_beside(old / "model") / "part").mkdir(parents=True)
    (next(old.glob(f"{TEMPORARY_PREFIX}*")) / "part" / "weights").write_bytes(b"half")
    assert move_folder(old, tmp_path / "new") == 3
    assert sorted(files_in(old).values()) == [b"half", b"half a picture"]
    assert sorted(files_in(tmp_path / "new")) == ["a.png", "sub/b.png", "sub/deeper/c"]


def test_links_move_as_links(old, tmp_path):
    (old / "link").symlink_to(tmp_path / "elsewhere")
    move_folder(old, tmp_path / "new")
    assert (tmp_path / "new" / "link").readlink() == tmp_path / "elsewhere"


@pytest.fixture
def engine(old, tmp_path):
    settings = Settings(
        data_dir=tmp_path / "data", output_folder=old, lora_folder=tmp_path / "loras"
    )
    with Engine(settings, asleep=True, hire=Script().link) as opened:
        yield opened


def test_the_settings_follow_what_moved(engine, old, tmp_path):
    models = tmp_path / "data" / MODELS / "turbo" / "model"
    models.parent.mkdir(parents=True)
    models.write_bytes(b"weights")
    wanted = replace(
        engine.settings,
        output_folder=tmp_path / "new",
        model_folder=tmp_path / "drive",
        device="cpu",
    )
    assert engine.move_files(wanted) == 4
    assert engine.settings == load(tmp_path / "data")[0] == wanted
    assert (tmp_path / "new" / "a.png").read_bytes() == b"a"
    assert (models_folder(tmp_path / "data") / "turbo" / "model").read_bytes() == b"weights"


def test_where_it_cannot_move_the_settings_stay(engine, old):
    before = engine.settings
    with pytest.raises(BadRequest):
        engine.move_files(replace(before, output_folder=old / "inside", device="cpu"))
    assert engine.settings == before


def test_the_history_finds_pictures_that_moved(old, tmp_path):
    settings = Settings(data_dir=tmp_path / "data", output_folder=old)
    with Engine(settings, asleep=True, journal=True, hire=Script().link) as opened:
        history = opened.history
        insert(history, old / "a.png")
        insert(history, tmp_path / "older" / "b.png")
        opened.move_files(replace(settings, output_folder=tmp_path / "new"))
        found = {past.path for past in history.find(Search())}
    assert found == {tmp_path / "new" / "a.png", tmp_path / "older" / "b.png"}


def test_nothing_moves_from_under_a_job_that_runs_or_waits(old, tmp_path):
    script, before = Script(), files_in(old)
    settings = Settings(data_dir=tmp_path / "data", output_folder=old)
    wanted = replace(settings, output_folder=tmp_path / "new")
    with Engine(settings, hire=script.link) as opened:
        jobs = [opened.submit(Request(prompt="hold")) for _ in range(2)]
        with pytest.raises(QueueFull, match=r"all jobs have ended \(2 left"):
            opened.move_files(wanted)
        assert opened.settings == settings
        assert files_in(old) == before
        script.release.set()
        for job in jobs:
            assert list(opened.events(job))
        assert opened.move_files(wanted) == 3


def test_no_job_is_accepted_while_files_move(engine, old, tmp_path):
    told = []

    def tell(*_) -> None:
        with pytest.raises(QueueFull, match="being moved") as caught:
            engine.submit(Request(prompt="x"))
        told.append(caught.value)
        with pytest.raises(QueueFull, match="being moved"):
            engine.move_files(engine.settings)

    engine.move_files(replace(engine.settings, output_folder=tmp_path / "new"), tell)
    assert len(told) == 3
    assert list(engine.events(engine.submit(Request(prompt="x"))))


@pytest.mark.parametrize("broken", ["move", "commit", "settings"])
def test_where_a_move_cannot_be_written_down_nothing_has_moved(broken, old, tmp_path, monkeypatch):
    settings = Settings(data_dir=tmp_path / "data", output_folder=old)
    before, new = files_in(old), tmp_path / "new"
    with Engine(settings, asleep=True, journal=True, hire=Script().link) as opened:
        opened.update_settings(settings)
        insert(opened.history, old / "a.png")
        insert(opened.history, new / "was-there.png")
        with monkeypatch.context() as change:
            fail_at(broken, change, opened.history)
            with pytest.raises(DiskError, match="full"):
                opened.move_files(replace(settings, output_folder=new))
        assert opened.settings == load(tmp_path / "data")[0] == settings
        assert files_in(old) == before
        found = {past.path for past in opened.history.find(Search())}
    assert found == {old / "a.png", new / "was-there.png"}


def fail_at(broken: str, change: pytest.MonkeyPatch, history) -> None:
    """Have the disk fill up as a part of the program writes, once the files are there."""

    def full(*_):
        calls.append(1)
        if len(calls) == 1:
            raise DiskError("The disk is full.")

    calls = []
    if broken == "settings":
        change.setattr("engine.settings.save", full)
    elif broken == "move":
        change.setattr("engine.journal.pictures.Album.move", full)
    else:
        change.setattr(history._store, "_connection", FullAtCommit(history._store._connection))


class FullAtCommit:
    """A database that takes everything but the last word."""

    def __init__(self, connection) -> None:
        self._connection = connection

    def commit(self) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def __getattr__(self, name: str):
        return getattr(self._connection, name)


def insert(history, path: Path) -> None:
    """Write a picture into the history, as a finished job does."""
    picture = Picture(path=path, recipe={"request": {}}, width=8, height=8)
    result = Result(
        pictures=(picture,),
        seconds={"total": 1.0},
        nfe=1,
        precision="fp32",
        plan="",
        peak_memory=1.0,
    )
    order = Order(job=path.stem, request=Request(prompt="x"), output=Output(folder=path.parent))
    history.keep(order, Done(job=order.job, result=result))
