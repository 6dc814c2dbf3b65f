"""A model paints the same picture, pixel for pixel, in every layout that files come in."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Request
from tests.engine.checkpoints import layouts
from tests.engine.workbench import Bench
from tests.tiny import save_tokenizer


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    save_tokenizer(folder / "bytes")
    return layouts.save_public(folder, folder / "bytes")


def painted(model: Path, folder: Path) -> list[bytes]:
    small = {"seed": 7, "steps": 2, "width": 64, "height": 64}
    return Bench(folder).paint(Request(prompt="a red circle", model=str(model), **small))


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory) -> list[bytes]:
    return painted(source, tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_paints_the_same_picture(layout, source, expected, tmp_path):
    place = tmp_path / "files"
    place.mkdir()
    assert painted(layouts.LAYOUTS[layout](source, place), tmp_path) == expected


def test_pictures_differ_between_models(expected, tiny_model, tmp_path):
    assert painted(tiny_model, tmp_path) != expected
