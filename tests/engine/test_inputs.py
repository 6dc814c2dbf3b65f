"""Input pictures are kept by what they hold, and named so in every order."""

from __future__ import annotations

import hashlib
import os

import pytest

from engine import BadRequest, DiskError, FileRejected, NotFound, Region, Request
from engine.inputs import (
    MAX_INPUT_BYTES,
    PREFIX,
    YOUNG_SECONDS,
    Inputs,
    find_input,
    keep_inputs,
    uses,
)
from tests.engine.workbench import aged

NAME = PREFIX + hashlib.sha256(b"picture").hexdigest()


@pytest.fixture
def inputs(data_folder):
    return Inputs(data_folder)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"picture")
    return path


def test_bytes_and_a_file_of_the_same_content_are_kept_once(inputs, picture, data_folder):
    assert inputs.keep(b"picture") == inputs.keep(picture) == NAME
    assert inputs.path(NAME).read_bytes() == b"picture"
    assert [path.name for path in (data_folder / "inputs").iterdir()] == [NAME.removeprefix(PREFIX)]


def test_what_is_kept_outlives_the_file_it_came_from(inputs, picture):
    name = inputs.keep(picture)
    picture.unlink()
    assert inputs.path(name).read_bytes() == b"picture"


def test_too_much_is_refused_before_anything_is_written(inputs, data_folder, tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(MAX_INPUT_BYTES + 1)
    for source in (large, bytes(MAX_INPUT_BYTES + 1)):
        with pytest.raises(FileRejected, match="67,108,864"):
            inputs.keep(source)
    assert list(data_folder.iterdir()) == []


def test_a_pipe_is_refused_without_waiting(inputs, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileRejected, match="no plain file"):
        inputs.keep(tmp_path / "pipe")


def test_a_folder_that_cannot_be_made_is_told(data_folder):
    (data_folder / "inputs").write_bytes(b"in the way")
    with pytest.raises(DiskError, match="inputs"):
        Inputs(data_folder).keep(b"picture")


@pytest.mark.parametrize(
    "name",
    ["", "input:", NAME[:-1], NAME + "0", NAME.upper(), "input:../" + NAME[9:], NAME[6:], NAME],
)
def test_a_name_that_is_not_kept_is_not_found(inputs, name):
    inputs.keep(b"another")
    with pytest.raises(NotFound, match="not kept here"):
        inputs.path(name)


def test_clearing_keeps_what_is_asked_for_and_leaves_strangers_alone(inputs, data_folder):
    first, second = inputs.keep(b"one"), inputs.keep(b"three")
    (data_folder / "inputs" / "notes.txt").write_bytes(b"mine")
    aged(data_folder)
    assert inputs.size() == 8
    assert inputs.clear({second}) == 3
    assert inputs.size() == 5
    assert inputs.path(second).is_file()
    assert (data_folder / "inputs" / "notes.txt").is_file()
    with pytest.raises(NotFound):
        inputs.path(first)


def test_clearing_spares_what_a_form_or_a_job_may_be_about_to_use(inputs, data_folder):
    names = [inputs.keep(data) for data in (b"just kept", b"kept again", b"ordered", b"old")]
    aged(data_folder)
    fresh = [inputs.keep(b"new"), inputs.keep(b"kept again")]
    keep_inputs(Request(prompt="x", images=(names[2],)), data_folder)
    assert inputs.clear(()) == len(b"just kept") + len(b"old")
    for name in (*fresh, names[2]):
        assert inputs.path(name).is_file()
    aged(data_folder, YOUNG_SECONDS - 60)
    assert inputs.clear(()) == 0
    aged(data_folder)
    assert inputs.clear(()) == len(b"new") + len(b"kept again") + len(b"ordered")


def test_an_empty_store_has_no_size_and_nothing_to_clear(data_folder):
    store = Inputs(data_folder / "nothing")
    assert (store.size(), store.clear(())) == (0, 0)


def test_a_picture_is_found_by_name_and_by_path(inputs, picture, data_folder):
    assert find_input(inputs.keep(picture), data_folder).read_bytes() == b"picture"
    assert find_input(str(picture), data_folder) == picture


@pytest.mark.parametrize("path", ["nowhere.png", "//server/share/x.png", "\\\\server\\x.png", "."])
def test_a_path_without_a_plain_file_is_not_found(data_folder, path):
    with pytest.raises(NotFound, match="no picture"):
        find_input(path, data_folder)


def test_a_kept_request_names_every_picture_and_no_path(picture, data_folder):
    asked = Request(
        prompt="x",
        images=(str(picture), NAME),
        mask=str(picture),
        regions=(Region(prompt="y", mask=str(picture)),),
    )
    Inputs(data_folder).keep(b"picture")
    kept = keep_inputs(asked, data_folder)
    assert uses(kept) == (NAME,) * 4
    assert len(uses(asked)) == 4
    assert keep_inputs(kept, data_folder) == kept


def test_a_request_that_names_what_is_gone_is_refused(data_folder):
    with pytest.raises(NotFound, match="not kept here"):
        keep_inputs(Request(prompt="x", images=(NAME,)), data_folder)


def test_a_request_without_pictures_writes_nothing(data_folder):
    asked = Request(prompt="x")
    assert keep_inputs(asked, data_folder) is asked
    assert list(data_folder.iterdir()) == []


def test_a_path_with_a_nul_is_refused_by_the_request():
    with pytest.raises(BadRequest):
        Request(prompt="x", images=("a\0b",))
