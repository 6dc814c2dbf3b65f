"""Presets for graphics cards: those of the program, and what strangers put beside them."""

from __future__ import annotations

import json
import os

import pytest

from engine.presets import HardwarePreset, hardware_presets
from engine.presets.files import MAX_FILE_BYTES, MAX_FILES
from engine.request import Precision
from engine.settings import Profile, Settings
from engine.storage import project_root

GOOD = {"title": "Mine", "vram_gb": 7.5, "profile": "4", "precision": "int8"}


def write(folder, name="mine.json", **changes):
    (folder / name).write_text(json.dumps({**GOOD, **changes}))


def notice(folder):
    """The one thing to tell of a folder that holds no preset."""
    found, notices = hardware_presets(folder)
    assert found == ()
    (only,) = notices
    return only


def test_the_program_has_presets_for_seven_sizes_of_card():
    found, notices = hardware_presets(project_root() / "presets" / "hardware")
    assert [preset.vram_gb for preset in found] == [4, 6, 8, 10, 12, 16, 24]
    assert notices == ()
    assert len({preset.title for preset in found}) == 7


def test_what_a_preset_holds_can_be_set():
    for preset in hardware_presets(project_root() / "presets" / "hardware")[0]:
        chosen = Settings(
            vram_gb=preset.vram_gb, profile=preset.profile, precision=preset.precision
        )
        assert chosen.vram_gb == preset.vram_gb


def test_a_users_own_preset_is_found(tmp_path):
    write(tmp_path)
    expected = HardwarePreset(
        title="Mine", vram_gb=7.5, profile=Profile.LOW_RAM_LOW_VRAM, precision=Precision.INT8
    )
    assert hardware_presets(tmp_path) == ((expected,), ())


def test_small_cards_come_first(tmp_path):
    for gb in (24, 4, 8):
        write(tmp_path, f"{100 - gb}.json", vram_gb=gb)
    assert [preset.vram_gb for preset in hardware_presets(tmp_path)[0]] == [4, 8, 24]


def test_one_bad_file_does_not_hide_the_others(tmp_path):
    write(tmp_path)
    write(tmp_path, "bad.json", vram_gb=-1)
    found, notices = hardware_presets(tmp_path)
    assert [preset.title for preset in found] == ["Mine"]
    assert len(notices) == 1
    assert "bad.json" in notices[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""},
        {"title": "  "},
        {"title": 7},
        {"title": "x" * 81},
        {"title": "two\nlines"},
        {"title": "right\u202eleft"},
        {"vram_gb": 0},
        {"vram_gb": -4},
        {"vram_gb": 1025},
        {"vram_gb": "8"},
        {"vram_gb": True},
        {"vram_gb": None},
        {"profile": "6"},
        {"profile": 1},
        {"profile": ["1"]},
        {"precision": "int4"},
        {"precision": {}},
        {"command": "x"},
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_file(tmp_path, changes):
    write(tmp_path, **changes)
    assert "mine.json" in notice(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"title": "x"}', "NaN", '{"vram_gb": NaN}', "\0", "[" * 5000],
)
def test_a_file_that_is_no_preset_is_refused_by_name(tmp_path, text):
    (tmp_path / "mine.json").write_text(text)
    assert "mine.json" in notice(tmp_path)


def test_a_large_file_is_not_read(tmp_path):
    (tmp_path / "mine.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    assert "bytes" in notice(tmp_path)


def test_a_pipe_does_not_hold_the_page_up(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "mine.json")
    assert "mine.json" in notice(tmp_path)


def test_many_files_are_cut_off_and_said(tmp_path):
    for number in range(MAX_FILES + 1):
        write(tmp_path, f"{number}.json")
    found, notices = hardware_presets(tmp_path)
    assert len(found) == MAX_FILES
    assert str(MAX_FILES) in notices[0]


def test_a_folder_that_is_not_there_holds_no_presets(tmp_path):
    assert hardware_presets(tmp_path / "none") == ((), ())


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("# Presets")
    assert hardware_presets(tmp_path) == ((), ())
