"""The file of what was measured: kept by device, and never trusted."""

from __future__ import annotations

import pytest

from engine.memory import machine_file
from engine.memory.machine_file import FILE, keep, recall


def test_what_was_kept_is_there_by_device_and_name(data_folder):
    keep(data_folder, "a card", "rates", {"link": 1.0})
    keep(data_folder, "a card", "tuning", {"x": "y"})
    keep(data_folder, "another", "rates", {"link": 2.0})
    assert recall(data_folder, "a card", "rates") == {"link": 1.0}
    assert recall(data_folder, "a card", "tuning") == {"x": "y"}
    assert recall(data_folder, "another", "rates") == {"link": 2.0}
    assert recall(data_folder, "another", "tuning") == recall(data_folder, "none", "x") == {}


def test_the_folder_is_made_when_something_is_kept(tmp_path):
    keep(tmp_path / "new", "a", "rates", {})
    assert (tmp_path / "new" / FILE).is_file()


def test_the_device_used_longest_ago_makes_room(data_folder, monkeypatch):
    monkeypatch.setattr(machine_file, "MAX_DEVICES", 2)
    for name in ("a", "b", "a", "c"):
        keep(data_folder, name, "rates", {"link": 1})
    assert [bool(recall(data_folder, name, "rates")) for name in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"devices": []}',
        '{"devices": {"a": 5}}',
        '{"devices": {"a": {"rates": [1]}}}',
        '{"devices": {"a": {"rates": {"link": NaN}}}}',
        "[" * 1000,
        '{"devices": ' + " " * 300_000 + "{}}",
    ],
)
def test_a_damaged_file_holds_nothing_and_is_replaced(data_folder, text):
    (data_folder / FILE).write_text(text)
    assert recall(data_folder, "a", "rates") == {}
    keep(data_folder, "a", "rates", {"link": 1})
    assert recall(data_folder, "a", "rates") == {"link": 1}
