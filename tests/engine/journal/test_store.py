"""The journal's file: opened by one program, and set aside when it is damaged."""

from __future__ import annotations

import sqlite3

import pytest

from engine import DiskError, Search
from engine.journal.pictures import Album
from engine.journal.store import FILE, VERSION, open_store


def close(data_folder) -> None:
    store, notices = open_store(data_folder)
    assert notices == ()
    store.close()


def test_a_journal_is_made_and_found_again(data_folder):
    close(data_folder / "deep" / "folder")
    close(data_folder / "deep" / "folder")
    assert (data_folder / "deep" / "folder" / FILE).is_file()


def test_a_second_program_gets_no_journal_and_is_told(data_folder):
    first, _ = open_store(data_folder)
    second, notices = open_store(data_folder)
    assert second is None and "twice" in notices[0]
    first.close()
    close(data_folder)


@pytest.mark.parametrize(
    "data", [b"no database at all, but quite long" * 400, b"SQLite format 3\0" + bytes(5000)]
)
def test_a_damaged_file_is_kept_aside_and_told(data_folder, data):
    (data_folder / FILE).write_bytes(data)
    store, notices = open_store(data_folder)
    assert Album(store).find(Search()) == ()
    store.close()
    assert "damaged" in notices[0] and f"{FILE}.bad1" in notices[0]
    assert (data_folder / f"{FILE}.bad1").read_bytes() == data


@pytest.mark.parametrize("value", ["\udcff", 2**63])
def test_a_value_that_no_database_takes_is_an_error_of_the_tree(data_folder, value):
    store, _ = open_store(data_folder)
    with pytest.raises(DiskError, match="could not be read"):
        store.read("SELECT ?", (value,))
    with pytest.raises(DiskError, match="could not be written"), store.write() as connection:
        connection.execute("DELETE FROM jobs WHERE id = ?", (value,))
    with store.write() as connection:
        connection.execute("DELETE FROM jobs")
    store.close()


def test_every_damaged_file_is_kept(data_folder):
    for _ in range(3):
        (data_folder / FILE).write_bytes(b"damaged" * 1000)
        open_store(data_folder)[0].close()
    assert len(list(data_folder.glob("*.bad?"))) == 3


def test_pages_zeroed_in_the_middle_are_noticed(data_folder):
    close(data_folder)
    data = bytearray((data_folder / FILE).read_bytes())
    data[4096:12288] = bytes(8192)
    (data_folder / FILE).write_bytes(data)
    store, notices = open_store(data_folder)
    store.close()
    assert "damaged" in notices[0]


def test_a_database_without_our_tables_is_set_aside(data_folder):
    with sqlite3.connect(data_folder / FILE) as other:
        other.execute(f"PRAGMA user_version = {VERSION}")
    other.close()
    store, notices = open_store(data_folder)
    store.close()
    assert "tables are missing" in notices[0]


def test_a_journal_of_a_newer_version_is_left_alone(data_folder):
    close(data_folder)
    with sqlite3.connect(data_folder / FILE) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    before = (data_folder / FILE).read_bytes()
    store, notices = open_store(data_folder)
    assert store is None and "newer version" in notices[0]
    assert (data_folder / FILE).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(data_folder):
    (data_folder / "file").write_bytes(b"")
    store, notices = open_store(data_folder / "file")
    assert store is None and notices[0].startswith("There is no history:")


def test_a_write_that_fails_leaves_nothing_behind(data_folder):
    store, _ = open_store(data_folder)
    with pytest.raises(DiskError, match="could not be written: no such table"), store.write() as c:
        c.execute("INSERT INTO adapters VALUES('a', 1)")
        c.execute("INSERT INTO nonesuch VALUES(1)")
    assert store.read("SELECT * FROM adapters") == []
    store.close()


def test_a_closed_journal_says_so(data_folder):
    store, _ = open_store(data_folder)
    store.close()
    store.close()
    with pytest.raises(DiskError, match="closed"):
        store.read("SELECT 1")


def test_the_size_counts_what_is_not_yet_in_the_file(data_folder):
    store, _ = open_store(data_folder)
    before = store.size()
    with store.write() as connection:
        connection.execute("INSERT INTO adapters VALUES(?, 1)", ("a" * 100_000,))
    assert store.size() >= before + 100_000
    store.close()
