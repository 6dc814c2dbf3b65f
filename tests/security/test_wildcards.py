"""Wildcards of strangers: no file outside of the folder is read, and nothing takes long."""

from __future__ import annotations

import os

import pytest

from engine.errors import StudioError
from engine.prompts.wildcards import MAX_CHARACTERS, MAX_FILE_BYTES, Wildcards
from tests.faults.pace import assert_quick

SECRET = "the-secret-of-the-user"

TRAVERSALS = [
    "../secret", "..\\secret", "../../etc/passwd", "/etc/passwd", "\\etc\\passwd", "C:\\secret",
    "C:secret", "\\\\host\\share", "//host/share", "....//secret", "..%2fsecret", "%2e%2e/secret",
    "./secret", "sub/secret", "sub\\secret", "secret.txt", "secret\0", "..", ".", "~", "~/secret",
    "file:///etc/passwd", "https://host/x", "..;/secret", "..∕secret", "．．/secret",  # noqa: RUF001
    "/dev/zero", "/proc/self/environ", "con", "nul", "aux.txt", "link", "folder", "pipe", "hidden",
    "-rf", "$HOME", "`id`", "$(id)", "{secret}", "__secret__", "secret|secret", "a" * 5000,
]  # fmt: skip
BOMBS = [
    "{" * 8000, "}" * 8000, "|" * 8000, "{|" * 4000, "{a|" * 2700, "{a|b}" * 1600, "__" * 4000,
    "__a" * 2700, "__a_" * 2000, "__a-" * 2000, "_" * 8001, "\\" * 8000, "\\{" * 4000,
    "{" + "|" * 8000 + "}", "{{{{{a|b}|c}|d}|e}|f}", "{{{{{{a|b}|c}|d}|e}|f}|g}",
    "__many__" * 1000, "{" * 4000 + "}" * 4000, "{a|b" * 2000 + "}" * 100, "__loop__", "__ping__",
    "__double__", "__long__ __long__", "__empty-ish__" * 600, "__wide__" * 1000, "x" * 100_000,
    "{" * 100_000, "__" * 50_000, "{a|b}" * 20_000, "\\_" * 50_000, "__a_a_" * 1300,
    "__many__" + "{|}" * 2500, "__" + "a" * 8000 + "__", "__" + "a-" * 4000 + "__",
    "__" + "é" * 8000, "{" + "__many__|" * 800 + "}", "__huge__", "__binary__", "__zero-byte__",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    (folder / "sub").mkdir()
    (folder / "sub" / "secret.txt").write_text(SECRET)
    (folder / "folder.txt").mkdir()
    (folder / ".hidden.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "device.txt").symlink_to("/dev/zero")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.txt")
    lists = {
        "many": "\n".join(map(str, range(1000))),
        "loop": "a __loop__",
        "ping": "__pong__",
        "pong": "__ping__",
        "double": "__double-b__ " * 100,
        "double-b": "__double-c__ " * 100,
        "double-c": "__many__ " * 100,
        "long": "x" * MAX_CHARACTERS,
        "wide": "{a|" + "b" * 4000 + "}",
        "empty-ish": "{|}",
        "zero-byte": "a\0b",
        "huge": "line\n" * 1_000_000,
    }
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00\x01" * 10)
    return folder


def expand(wildcards, text):
    """What became of a text, or the error that said no."""
    try:
        return wildcards.expand(text, 1).prompt
    except StudioError as error:
        return str(error)


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out_of_the_folder(folder, name, monkeypatch):
    wildcards, opened = Wildcards([folder]), []
    monkeypatch.setattr(
        "engine.prompts.wildcards.read_bounded",
        lambda path, limit: opened.append(path) or SECRET.encode(),
    )
    for text in (f"__{name}__", f"{{__{name}__|__{name}__}}", f"____{name}____"):
        assert SECRET not in expand(wildcards, text)
    assert opened == []


def test_only_plain_files_of_the_folder_are_lists(folder):
    names = set(Wildcards([folder]).names)
    assert not names & {"link", "device", "pipe", "folder", ".hidden", "secret"}
    assert "many" in names


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_every_expansion_is_quick_and_bounded(folder, text):
    wildcards = Wildcards([folder])
    assert wildcards.names
    found = expand(wildcards, text)
    assert len(found.encode()) <= max(MAX_CHARACTERS, len(text.encode()))
    assert_quick(lambda: expand(wildcards, text), 0.05)


def test_a_list_of_a_million_lines_is_refused_by_its_size(folder):
    assert f"{MAX_FILE_BYTES:,}" in expand(Wildcards([folder]), "__huge__")


def test_words_that_no_prompt_may_hold_are_refused_by_the_request(folder):
    from engine.errors import BadRequest
    from engine.request import Request

    with pytest.raises(BadRequest, match="NUL"):
        Request(prompt=Wildcards([folder]).expand("__zero-byte__", 1).prompt)


def test_lists_that_lead_into_each_other_end_in_a_sentence(folder):
    for name in ("loop", "ping", "double"):
        assert "Use fewer of them" in expand(Wildcards([folder]), f"__{name}__")
