"""Presets of strangers: what is valid is loaded, the rest is told, and nothing is believed."""

from __future__ import annotations

import json
import time

import pytest

from engine.presets import Presets
from engine.presets.files import MAX_FILE_BYTES, MAX_FILES
from engine.presets.full import KEPT
from engine.request import Request

GOOD = {"steps": 12, "guidance_scale": 3.0, "negative": "fog"}
SCRIPTS = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)",
    "{{7*7}}", "${7*7}", "__import__('os').system('id')", "'; DROP TABLE jobs;--", "%s%n%x",
]  # fmt: skip
BAD_SETTINGS = [
    {"sampler": ["euler"]}, {"sampler": "x" * 41}, {"model": "/etc/passwd"}, {"model": "../m"},
    {"model": "\\\\host\\share\\m"}, {"model": "C:\\m"}, {"model": ""}, {"model": ".."},
    {"loras": [{"weight": 1.0}]}, {"model": {"a": 1}},
    {"loras": [{"name": "/etc/passwd"}]}, {"loras": [{"name": "..\\x", "weight": 1}]},
    {"loras": [{"name": "a", "weight": 1e9}]}, {"loras": [{"name": "a", "run": 1}]},
    {"loras": "a"}, {"loras": [["a"]]}, {"loras": [{"name": "a"}] * 33}, {"steps": "8"},
    {"steps": 0}, {"steps": 10**9}, {"steps": 8.5}, {"steps": True}, {"steps": None},
    {"steps": [8]}, {"steps": {"a": 8}}, {"guidance_scale": -1}, {"guidance_scale": "4"},
    {"guidance_scale": False}, {"shift": 0}, {"shift": 1000}, {"width": 100}, {"width": 10**6},
    {"height": -64}, {"count": 65}, {"count": -1}, {"negative": 7}, {"negative": "a\0b"},
    {"prompt": ["a"]}, {"prompt": "\ud800"}, {"cfg_normalization": -1}, {"cfg_truncation": 2},
    {"step_cache": "on"}, {"lora_partial": 1}, {"lora_partial": "yes"}, {"long_prompt": "all"},
    {"strength": 2}, {"feather": 65}, {"feather": None}, {"fill": "lava"},
    {"fill_colour": "red;"}, {"soft": 1}, {"masked_only": None}, {"context": -1},
    {"device": "cuda"}, {"precision": "int8"}, {"seed": 1}, {"images": ["/etc/passwd"]},
    {"mask": "/etc/passwd"}, {"__class__": "x"}, {"task": "edit"}, {"variant": "base"}, {"": 1},
    {"regions": [{"prompt": "a", "mask": "/etc/passwd"}]}, {"x" * 5000: 1},
    *({"sampler": script} for script in SCRIPTS[:5] if len(script) > 40),
]  # fmt: skip
BAD_FILES = [
    b"", b"{", b"[]", b"null", b"1", b'"a"', b"\0" * 100, b"\xff\xfe" * 50, b"[" * 100_000,
    b'{"a":' * 10_000, b'{"title": "a"}', b'{"settings": {}}', b'{"title": 1, "settings": {}}',
    b'{"title": "a", "settings": []}', b'{"title": "a", "settings": null}',
    b'{"title": "a", "title": "b", "settings": {}}', b'{"title": "a", "settings": {"steps": NaN}}',
    b'{"title": "a", "settings": {"steps": Infinity}}',
    b'{"title": "a", "settings": {"steps": 1e999}}',
    b'{"title": "a", "settings": {"steps": ' + b"9" * 5000 + b"}}",
    b'{"title": "a", "settings": {}, "run": "id"}', b'{"title": "", "settings": {}}',
    b'{"title": "\\u202eevil", "settings": {}}', b'{"title": "a\\nb", "settings": {}}',
    b'{"title": "a", "settings": {}, "note": 5}', b'{"title": "a", "settings": {}, "style": []}',
    b'{"title": "a", "settings": {}, "note": "' + b"x" * 301 + b'"}',
    b" " * (MAX_FILE_BYTES + 1), b"cos\nsystem\n(S'id'\ntR.", b"PK\x03\x04" + b"\0" * 60,
]  # fmt: skip


@pytest.fixture
def put(tmp_path):
    """Return what puts a file among the user's full presets."""
    folder = tmp_path / "presets" / "full"
    folder.mkdir(parents=True)

    def write(data, name="stranger.json"):
        text = data if isinstance(data, bytes) else json.dumps(data).encode()
        (folder / name).write_bytes(text)
        return Presets(tmp_path)

    return write


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=range(len(BAD_SETTINGS)))
def test_what_is_valid_is_loaded_and_the_rest_told(put, settings):
    found = put({"title": "Theirs", "settings": {**GOOD, **settings}}).preset("Theirs")
    kept = {name: value for name, value in GOOD.items() if name not in settings}
    assert found.settings == kept
    assert len(found.notices) == 1
    assert len(found.notices[0]) < 400
    Request.from_json({"prompt": "", **found.settings})


@pytest.mark.parametrize("data", BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_file_that_is_no_preset_is_told_by_name_and_hides_no_other(put, data):
    put({"title": "Good", "settings": GOOD}, "good.json")
    began = time.perf_counter()
    found, notices = put(data).full
    assert time.perf_counter() - began < 1.0
    assert "Good" in {preset.title for preset in found}
    assert len(notices) == 1
    assert "stranger.json" in notices[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_that_look_like_programs_stay_words(put, script):
    found = put({"title": script, "settings": {"prompt": script}, "note": script}).preset(script)
    assert (found.title, found.note, found.settings["prompt"]) == (script, script, script)


def test_there_are_at_least_sixty_hostile_settings_for_every_field():
    assert len(BAD_SETTINGS) >= 60
    assert {name for settings in BAD_SETTINGS for name in settings} >= set(KEPT) - {"fill"}


def test_a_folder_of_thousands_of_files_is_cut_off_and_said(put):
    for number in range(MAX_FILES + 5):
        presets = put({"title": str(number), "settings": {}}, f"{number:04}.json")
    found, notices = presets.full
    assert len(found) <= MAX_FILES + 20
    assert any("more than" in notice for notice in notices)
