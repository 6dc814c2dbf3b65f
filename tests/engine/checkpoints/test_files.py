"""Files are called by what people know of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoints.files import label
from engine.checkpoints.look import look
from engine.errors import NotFound


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("nope", "nope"),
        ("./a/b/c.safetensors", "a/b/c.safetensors"),
        ("../x", "../x"),
        (".", "."),
        ("/nope", "nope"),
        ("/models/someone/models/x.safetensors", "models/x.safetensors"),
        ("/", "/"),
        ("a\udcff", "a?"),
    ],
)
def test_a_path_is_said_as_it_was_given_unless_it_tells_of_the_machine(path, name):
    assert label(Path(path)) == name


def test_a_model_that_is_not_there_is_called_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"^demo-turbo does not exist"):
        look(Path("demo-turbo"))
