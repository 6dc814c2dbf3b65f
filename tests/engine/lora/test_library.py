from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import BadRequest, NotFound
from engine.lora.library import MAX_DEPTH, find_lora, list_loras


@pytest.fixture
def folder(tmp_path):
    """A folder of adapters in sub-folders, with other things between them."""
    home = tmp_path / "loras"
    for name in ("cat.safetensors", "styles/ink.safetensors", "styles/old/ink.safetensors",
                 "people/Ada.SAFETENSORS", "cat.png", "notes.txt", ".hidden.safetensors",
                 ".git/a.safetensors", "damaged.safetensors"):  # fmt: skip
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x80\x04 no adapter")
    (tmp_path / "outside.safetensors").write_bytes(b"secret")
    return home


def names(folder):
    return [entry.name for entry in list_loras(folder)]


def test_adapters_are_listed_by_name_with_their_folders(folder):
    assert names(folder) == [
        "cat.safetensors", "damaged.safetensors", "people/Ada.SAFETENSORS",
        "styles/ink.safetensors", "styles/old/ink.safetensors",
    ]  # fmt: skip


def test_a_listing_tells_what_was_added_changed_and_removed(folder):
    before = list_loras(folder)
    assert list_loras(folder) == before
    os.utime(folder / "cat.safetensors", ns=(1, 1))
    changed = list_loras(folder)
    assert changed != before
    assert changed[0].changed == 1
    (folder / "cat.safetensors").unlink()
    assert len(list_loras(folder)) == len(before) - 1


@pytest.mark.parametrize("link", ["file", "folder", "loop", "nowhere", "pipe"])
def test_what_leads_elsewhere_is_not_listed(link, folder):
    before = names(folder)
    if link == "file":
        (folder / "away.safetensors").symlink_to(folder.parent / "outside.safetensors")
    elif link == "folder":
        (folder / "away").symlink_to(folder.parent)
    elif link == "loop":
        (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    elif link == "nowhere":
        (folder / "gone.safetensors").symlink_to(folder / "nothing")
    else:
        os.mkfifo(folder / "pipe.safetensors")
    assert names(folder) == before


def test_a_link_inside_the_folder_is_listed(folder):
    (folder / "also.safetensors").symlink_to(folder / "cat.safetensors")
    assert "also.safetensors" in names(folder)


def test_the_folder_itself_may_be_a_link(folder):
    link = folder.parent / "elsewhere"
    link.symlink_to(folder)
    assert names(link) == names(folder)
    assert find_lora("cat", link).samefile(folder / "cat.safetensors")


def test_very_deep_folders_and_odd_names_are_left_out(folder):
    before = names(folder)
    deep = folder.joinpath(*(["d"] * (MAX_DEPTH + 1)))
    deep.mkdir(parents=True)
    (deep / "deep.safetensors").touch()
    (folder / "two\nlines.safetensors").touch()
    assert names(folder) == before


def test_a_listing_ends_after_so_many_entries(folder, monkeypatch):
    for index in range(40):
        (folder / f"{index}.safetensors").touch()
    monkeypatch.setattr("engine.lora.library.MAX_ENTRIES", 20)
    assert 15 <= len(names(folder)) <= 20


def test_folders_and_links_alone_are_followed_to_their_end(folder, monkeypatch):
    (folder / "junction").mkdir()
    (folder / "junction" / "away.safetensors").touch()
    (folder / "also.safetensors").symlink_to(folder / "cat.safetensors")
    followed, resolve = [], Path.resolve

    def noted(path: Path, strict: bool = False) -> Path:
        followed.append(path.name)
        return resolve(folder.parent if path.name == "junction" else path, strict)

    before = [name for name in names(folder) if not name.startswith("junction/")]
    monkeypatch.setattr(Path, "resolve", noted)
    assert names(folder) == before
    assert sorted(followed) == ["also.safetensors", "junction", "loras", "old", "people", "styles"]


def test_a_missing_folder_lists_nothing(tmp_path):
    assert list_loras(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat.safetensors"),
        ("cat.safetensors", "cat.safetensors"),
        ("styles/ink", "styles/ink.safetensors"),
        ("styles\\ink.safetensors", "styles/ink.safetensors"),
        ("old/ink", "styles/old/ink.safetensors"),
        ("Ada.SAFETENSORS", "people/Ada.SAFETENSORS"),
    ],
)
def test_an_adapter_is_found_by_its_name(name, expected, folder):
    assert find_lora(name, folder) == folder.resolve() / expected


@pytest.mark.parametrize(
    "name",
    ["../outside", "styles/../../outside", "/etc/passwd", "..", "C:\\cat", "a\0b", "\\\\host\\cat"],
)
def test_a_name_that_leads_out_is_refused(name, folder):
    with pytest.raises(BadRequest, match="no name inside"):
        find_lora(name, folder)


def test_a_linked_file_outside_is_not_found_by_name(folder):
    (folder / "away.safetensors").symlink_to(folder.parent / "outside.safetensors")
    with pytest.raises(NotFound):
        find_lora("away", folder)


def test_a_name_of_several_files_is_refused_with_their_names(folder):
    with pytest.raises(BadRequest, match=r"styles/ink\.safetensors, styles/old/ink\.safetensors"):
        find_lora("ink", folder)


@pytest.mark.parametrize("name", ["dog", "", ".hidden", "notes.txt"])
def test_a_name_of_no_adapter_is_said_to_be_missing(name, folder):
    with pytest.raises(NotFound, match="no LoRA"):
        find_lora(name, folder)
