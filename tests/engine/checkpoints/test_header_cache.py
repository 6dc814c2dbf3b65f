"""A model opens without its text encoder's file where that is known; any doubt opens the file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.cache import FOLDER
from engine.checkpoints import files, header_cache
from engine.checkpoints.formats import find_weights
from engine.checkpoints.header import excerpts, read_header
from engine.checkpoints.header_cache import HEADERS, HeaderCache
from engine.checkpoints.load import load_text_encoder
from engine.checkpoints.open import Hints, open_model
from engine.errors import FileRejected, NotFound
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.forge_gguf import whole_file

ENCODER = "text_encoder/model.safetensors"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def resting(monkeypatch):
    """Believe that files written a moment ago will not change within the same tick."""
    monkeypatch.setattr(header_cache, "RESTING_NS", 0)


@pytest.fixture
def model(our_folder, tmp_path):
    return layouts.as_folder(our_folder, tmp_path)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def opens(monkeypatch):
    """The files of models that were opened, each time that they were."""
    paths, opening = [], files.open_plain
    monkeypatch.setattr(files, "open_plain", lambda path: paths.append(path) or opening(path))
    return paths


def opened(model, data):
    return open_model(model, hints=Hints(data=data))


def kept(data):
    return sorted((data / FOLDER / HEADERS).glob("*.header"))


def rewrite(path, change):
    """Change a kept file, and make its checksum right again."""
    content = change(path.read_bytes()[32:])
    path.write_bytes(hashlib.sha256(content).digest() + content)


def test_a_known_encoder_stays_closed_and_the_model_is_the_same(model, data, opens):
    plain = open_model(model)
    first = opened(model, data)
    assert model / ENCODER in opens
    opens.clear()
    second = opened(model, data)
    assert model / ENCODER not in opens
    assert model / "transformer/diffusion_pytorch_model.safetensors" in opens
    assert plain == first == second
    assert plain.digest == second.digest
    assert plain.parts.text_encoder.weights == second.parts.text_encoder.weights


@pytest.mark.parametrize("layout", [layouts.as_loose_parts, layouts.as_sorted_parts])
def test_an_encoder_beside_other_files_stays_closed_too(
    layout, tokenizer_folder, tmp_path, data, opens
):
    (tmp_path / "model").mkdir()
    path = layout(layouts.save_public(tmp_path / "public", tokenizer_folder), tmp_path / "model")
    first = opened(path, data)
    (encoder,) = (header.path for header in first.parts.text_encoder.headers)
    opens.clear()
    assert opened(path, data) == first
    assert encoder not in opens


def test_an_encoder_in_the_file_of_the_transformer_is_not_kept(tokenizer_folder, tmp_path, data):
    (tmp_path / "model").mkdir()
    source = layouts.save_public(tmp_path / "public", tokenizer_folder)
    opened(layouts.as_all_in_one(source, tmp_path / "model"), data)
    assert kept(data) == []


def test_nothing_is_kept_where_there_is_no_folder_for_it(model, tmp_path):
    open_model(model)
    assert not (tmp_path / "data").exists()


def test_a_gguf_header_with_its_metadata_is_kept(tmp_path, data, opens):
    path = tmp_path / "qwen.gguf"
    path.write_bytes(whole_file())
    header = read_header(path)
    HeaderCache(data).keep(header)
    opens.clear()
    assert HeaderCache(data).read(path) == header
    assert opens == []


def test_the_texts_that_name_formats_are_kept(tmp_path, data, opens):
    path = tmp_path / "qwen.safetensors"
    options = np.frombuffer(b'{"format": "int8_tensorwise"}', np.uint8)
    tensors = {
        "a.weight": np.ones((8, 16), np.int8),
        "a.weight_scale": np.ones((8, 1), np.float32),
        "a.comfy_quant": options,
    }
    save_file(tensors, path)
    header = read_header(path)
    weights = find_weights([header])
    HeaderCache(data).keep(header)
    opens.clear()
    assert find_weights([HeaderCache(data).read(path)]) == weights
    assert opens == []


@pytest.mark.parametrize("resting", [10**9, 3 * 10**9])
def test_a_file_that_may_still_change_is_not_kept(model, data, monkeypatch, resting):
    monkeypatch.setattr(header_cache, "RESTING_NS", resting)
    (model / ENCODER).touch()
    opened(model, data)
    assert kept(data) == []


def test_a_file_that_was_cut_short_is_refused(model, data):
    opened(model, data)
    path = model / ENCODER
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileRejected, match="is incomplete"):
        opened(model, data)


@pytest.mark.parametrize("times_are_put_back", [False, True])
def test_a_file_of_other_weights_is_another_model(model, data, times_are_put_back):
    if times_are_put_back and os.name == "nt":
        pytest.skip("Windows notes no time that programs cannot set")
    first = opened(model, data)
    path, header = model / ENCODER, read_header(model / ENCODER)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(header.first_byte)
        file.write(b"\x11\x22")
    if times_are_put_back:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = opened(model, data)
    assert second.parts.text_encoder.digest != first.parts.text_encoder.digest
    assert second == opened(model, data)


def test_a_file_that_changed_after_opening_is_refused_when_it_is_loaded(model, data):
    opened(model, data)
    checkpoint = opened(model, data)
    with (model / ENCODER).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    os.utime(model / ENCODER)
    with pytest.raises(FileRejected, match="was changed while"):
        load_text_encoder(checkpoint, torch.float32, CPU)


def test_a_file_that_is_gone_or_replaced_by_a_folder_is_refused(model, data):
    opened(model, data)
    (model / ENCODER).unlink()
    with pytest.raises(NotFound):
        opened(model, data)
    (model / ENCODER).mkdir()
    with pytest.raises(FileRejected, match="no plain file"):
        opened(model, data)


def test_a_copy_of_the_model_is_read_itself(model, data, tmp_path, opens):
    first = opened(model, data)
    copy = shutil.copytree(model, tmp_path / "copy")
    opens.clear()
    assert opened(copy, data).digest == first.digest
    assert copy / ENCODER in opens


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = {
    "cut": lambda data: data[:-1],
    "short": lambda data: data[:33],
    "empty": lambda data: b"",
    "flipped": lambda data: flipped(data, 60),
    "a sample flipped": lambda data: flipped(data, 36 + int.from_bytes(data[32:36], "little")),
    "other": lambda data: b"\x80\x04" * 50,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_one_is_made_again(model, data, damage, opens):
    first = opened(model, data)
    (path,) = kept(data)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    opens.clear()
    assert opened(model, data) == first
    assert model / ENCODER in opens
    assert [path.read_bytes() for path in kept(data)] == [whole]


def table_of(**changes):
    def change(content):
        end = 4 + int.from_bytes(content[:4], "little")
        table = json.dumps(json.loads(content[4:end]) | changes).encode()
        return len(table).to_bytes(4, "little") + table + content[end:]

    return change


FORGED = {
    "another file": table_of(file=[1, 2, 3, 4]),
    "no file": table_of(file=None),
    "no places": table_of(places=None),
    "places of words": table_of(places=[["a", "b"]]),
    "places backwards": table_of(places=[[9, 1]]),
    "places of three": table_of(places=[[1, 2, 3]]),
    "a list": lambda content: b"\2\0\0\0[]" + content,
    "no table": lambda content: b"\xff\xff\xff\xff" + content[4:],
    "a header cut short": lambda content: content[:-5],
    "no header": lambda content: content[: 4 + int.from_bytes(content[:4], "little")],
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_one_is_not_believed(model, data, change, opens):
    first = opened(model, data)
    (path,) = kept(data)
    rewrite(path, change)
    opens.clear()
    assert opened(model, data) == first
    assert model / ENCODER in opens


def test_a_folder_that_cannot_be_written_to_changes_nothing(model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert opened(model, tmp_path / "file") == open_model(model)


def test_what_was_read_of_a_file_once_is_not_read_again(tmp_path, opens):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.arange(8, dtype=np.float32)}, path)
    header = read_header(path)
    start = header.first_byte
    opens.clear()
    assert excerpts(header, [(start, start + 4), (start + 4, start + 8)])[1] == b"\0\0\x80?"
    assert excerpts(header, [(start, start + 4)]) == [bytes(4)]
    assert opens == [path]


def test_a_file_that_changed_is_not_read_on(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.arange(8, dtype=np.float32)}, path)
    header = read_header(path)
    save_file({"a": np.arange(9, dtype=np.float32)}, path)
    with pytest.raises(FileRejected, match="was changed meanwhile"):
        excerpts(header, [(header.first_byte, header.first_byte + 4)])
