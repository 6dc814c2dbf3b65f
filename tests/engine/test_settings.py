"""The settings file may hold anything; the program starts and says once what was wrong."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from engine import settings as module
from engine.errors import BadRequest, DiskError
from engine.request import Precision
from engine.settings import (
    Attention,
    FileType,
    Language,
    Profile,
    Settings,
    Theme,
    defaults_in,
    load,
    models_folder,
    save,
    with_folders,
)
from engine.storage import project_root


def _file(folder: Path) -> Path:
    return folder / "settings.json"


def _store(folder: Path, values: object) -> None:
    _file(folder).write_text(json.dumps(values), encoding="utf-8")


def test_without_a_file_the_defaults_hold_and_nothing_is_written(data_folder):
    assert load(data_folder) == (defaults_in(data_folder), ())
    assert list(data_folder.iterdir()) == []


def test_the_defaults_lie_inside_the_program_folder():
    assert Settings().data_dir == project_root() / ".studio"
    assert Settings().output_folder == project_root() / "outputs"


def test_pictures_lie_in_a_data_folder_of_the_users_unless_the_settings_say_otherwise(
    data_folder, tmp_path
):
    own = Settings()
    assert defaults_in(own.data_dir) == own
    assert load(data_folder)[0].output_folder == data_folder / "outputs"
    assert with_folders(data_folder).output_folder == data_folder / "outputs"
    save(Settings(output_folder=tmp_path / "large disk", vram_gb=3.5, data_dir=data_folder))
    assert with_folders(data_folder).output_folder == tmp_path / "large disk"
    assert with_folders(data_folder).vram_gb is None


def test_saved_settings_are_loaded_again(data_folder, tmp_path):
    chosen = Settings(
        device="cuda:1",
        precision=Precision.BF16,
        vram_gb=3.5,
        profile=Profile.LOW_RAM_LOW_VRAM,
        output_folder=tmp_path / "Bilder ü 🐈",
        model_folder=tmp_path / "large disk",
        file_type=FileType.WEBP,
        metadata=False,
        preview_seconds=2,
        attention=Attention.CUDNN,
        theme=Theme.DARK,
        language=Language.CHINESE,
        data_dir=data_folder / "made" / "by saving",
    )
    save(chosen)
    assert load(chosen.data_dir) == (chosen, ())
    loaded = load(chosen.data_dir)[0]
    kinds = {"precision": Precision, "profile": Profile, "file_type": FileType, "theme": Theme}
    kinds |= {"attention": Attention, "language": Language}
    assert all(isinstance(getattr(loaded, name), kind) for name, kind in kinds.items())


def test_models_lie_in_the_data_folder_unless_the_settings_name_another(data_folder, tmp_path):
    assert models_folder(data_folder) == data_folder / "models"
    save(Settings(data_dir=data_folder))
    assert models_folder(data_folder) == data_folder / "models"
    save(Settings(model_folder=tmp_path / "large disk", data_dir=data_folder))
    assert models_folder(data_folder) == tmp_path / "large disk"


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"model_folder": 7}', b'{"model_folder": "a\\nb"}']
)
def test_a_settings_file_that_names_no_usable_folder_leaves_models_where_they_are(
    data_folder, data
):
    _file(data_folder).write_bytes(data)
    assert models_folder(data_folder) == data_folder / "models"
    assert _file(data_folder).read_bytes() == data


def test_the_stored_names_stay_what_they_are(data_folder):
    save(Settings(data_dir=data_folder))
    assert json.loads(_file(data_folder).read_text()) == {
        "version": 1,
        "device": "auto",
        "precision": "auto",
        "vram_gb": None,
        "profile": "auto",
        "output_folder": "outputs",
        "lora_folder": "loras",
        "model_folder": None,
        "file_type": "png",
        "metadata": True,
        "preview_seconds": 0.25,
        "attention": "auto",
        "theme": "system",
        "language": "auto",
    }
    assert [str(theme) for theme in Theme] == ["system", "light", "dark"]
    assert [str(profile) for profile in Profile] == ["auto", "1", "2", "3", "4", "5"]
    assert [str(kind) for kind in FileType] == ["png", "jpeg", "webp"]
    assert [kind.suffix for kind in FileType] == [".png", ".jpg", ".webp"]
    assert [str(kernel) for kernel in Attention] == ["auto", "pytorch", "cudnn", "flash", "sage"]
    assert [str(language) for language in Language] == ["auto", "en", "de", "zh"]


def test_keys_of_another_version_survive_a_save(data_folder):
    _store(data_folder, {"version": 2, "theme": "dark", "brush": {"size": [1, 2]}})
    settings, notices = load(data_folder)
    assert settings.theme == "dark"
    assert len(notices) == 1
    assert "newer version" in notices[0]
    save(replace(settings, device="cpu"))
    stored = json.loads(_file(data_folder).read_text())
    assert stored["brush"] == {"size": [1, 2]}
    assert stored["device"] == "cpu"


BAD_VALUES = (
    [
        ("device", value)
        for value in (
            "",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:100",
            "cuda:1\n",
            "CUDA",
            0,
            True,
            None,
            [],
        )
    ]
    + [("precision", value) for value in ("", "int3", "FP16", 16, None, ["fp16"], {"a": 1}, True)]
    + [("vram_gb", value) for value in (0, -1, 1025, 1e30, True, "6", [6], 99999999999999999999)]
    + [("profile", value) for value in ("", "6", "low", 1, None, [], {})]
    + [("theme", value) for value in ("", "Dark", 1, None, [], {})]
    + [("file_type", value) for value in ("", "PNG", "gif", 1, None, [], {})]
    + [("attention", value) for value in ("", "xformers", 1, None, [], {})]
    + [("language", value) for value in ("", "fr", "de-DE", 1, None, [], {})]
    + [("metadata", value) for value in ("", "yes", 1, 0, None, [], {})]
    + [("preview_seconds", value) for value in (-0.1, 61, True, None, "1", [], 1e30)]
    + [("model_folder", value) for value in (1, [], "a\0b", "x" * 5000)]
    + [("output_folder", value) for value in (1, None, [], "a\0b", "a\nb", "\ud800", "x" * 5000)]
)


@pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=lambda value: repr(value)[:30])
def test_a_bad_value_becomes_its_default_with_a_notice(data_folder, name, value):
    good = {"device": "cpu", "theme": "dark", "vram_gb": 4, "precision": "fp32"}
    _store(data_folder, {**good, name: value})
    settings, notices = load(data_folder)
    assert getattr(settings, name) == getattr(defaults_in(data_folder), name)
    assert len(notices) == 1
    assert name.split("_")[0] in notices[0].lower().replace("memory", "vram")
    kept = {key: item for key, item in good.items() if key != name}
    assert {key: getattr(settings, key) for key in kept} == kept


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_memory_that_is_no_number_is_refused(value):
    with pytest.raises(BadRequest, match="memory"):
        Settings(vram_gb=value)


DAMAGED = [
    b"",
    b" ",
    b"{",
    b'{"theme": "dark"',
    b"\x00" * 4096,
    b"\xff\xfe{\x00}\x00",
    b"[]",
    b"null",
    b'"theme"',
    b'{"theme": NaN}',
    b'{"vram_gb": Infinity}',
    b'{"vram_gb": 1e999}',
    b"{'theme': 1}",
    b"1",
    b'{"theme": "dark", "theme": "light"}',
    b'{"a":' * 50_000,
    b"[" * 100_000,
    b"9" * 5000,
    b'{"a": "' + b"x" * 300_000 + b'"}',
    b"\x89PNG\r\n\x1a\n",
    b"PK\x03\x04",
    bytes(range(256)),
]


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:20]))
def test_a_damaged_file_is_kept_aside_and_told_once(data_folder, data):
    _file(data_folder).write_bytes(data)
    started = time.monotonic()
    settings, notices = load(data_folder)
    assert time.monotonic() - started < 2
    assert settings == defaults_in(data_folder)
    assert len(notices) == 1
    assert "settings.json.bad" in notices[0]
    assert (data_folder / "settings.json.bad").read_bytes() == data
    assert load(data_folder) == (defaults_in(data_folder), ())


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:20]))
def test_a_damaged_file_is_replaced_by_the_copy_saved_last(data_folder, data):
    _store(data_folder, {"brush": 1})
    chosen = Settings(theme=Theme.LIGHT, vram_gb=6, data_dir=data_folder)
    save(chosen)
    _file(data_folder).write_bytes(data)
    settings, notices = load(data_folder)
    assert settings == chosen
    assert "saved last" in notices[0]
    assert load(data_folder) == (chosen, ())
    assert json.loads(_file(data_folder).read_text())["brush"] == 1


def test_a_damaged_file_and_a_damaged_copy_give_the_defaults(data_folder):
    _file(data_folder).write_bytes(b"{")
    (data_folder / "settings.json.bak").write_bytes(b"}")
    settings, notices = load(data_folder)
    assert settings == defaults_in(data_folder)
    assert "defaults" in notices[0]


def test_a_byte_order_mark_is_no_damage(data_folder):
    _file(data_folder).write_bytes(b'\xef\xbb\xbf{"theme": "dark"}')
    settings, notices = load(data_folder)
    assert (settings.theme, notices) == ("dark", ())


def test_a_folder_in_place_of_the_file_is_set_aside(data_folder):
    _file(data_folder).mkdir()
    settings, notices = load(data_folder)
    assert settings == defaults_in(data_folder)
    assert len(notices) == 1
    assert (data_folder / "settings.json.bad").is_dir()


def test_a_file_of_a_hundred_megabytes_is_not_read(data_folder):
    with _file(data_folder).open("wb") as stream:
        stream.truncate(100_000_000)
    tracemalloc.start()
    try:
        assert load(data_folder)[0] == defaults_in(data_folder)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_loading_goes_on_where_the_damaged_file_cannot_be_moved(data_folder, monkeypatch):
    _file(data_folder).write_bytes(b"{")

    def refuse(*_arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    settings, notices = load(data_folder)
    assert settings == defaults_in(data_folder)
    assert "could not be replaced" in notices[0]


def test_saving_on_a_full_disk_is_an_error_and_keeps_the_old_file(data_folder, monkeypatch):
    save(Settings(theme=Theme.DARK, data_dir=data_folder))

    def refuse(path, data):
        raise DiskError(f"Could not write {len(data)} bytes to {path.parent}.")

    monkeypatch.setattr(module, "atomic_write", refuse)
    with pytest.raises(DiskError):
        save(Settings(theme=Theme.LIGHT, data_dir=data_folder))
    assert load(data_folder)[0].theme == "dark"
