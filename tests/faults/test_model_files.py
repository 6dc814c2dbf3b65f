"""Hostile, changing and vanishing model files end in one clear sentence, and run nothing."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints.files import opened
from engine.checkpoints.header import read_header
from engine.checkpoints.load import load_text_encoder, load_tokenizer, load_transformer
from engine.checkpoints.open import open_model
from engine.checkpoints.tensors import open_tensors
from engine.errors import FileRejected, NotFound, UserError
from tests.engine.checkpoints.forge import whole_file
from tests.tiny import save_tiny_model

CPU = torch.device("cpu")
SHAPES = {"layers.0.weight": [3, 4], "pad": [1, 5]}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(FileRejected) as caught:
        read_header(path)
    return str(caught.value)


class Payload:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def archives(mark: Path) -> dict[str, tuple[bytes, str]]:
    """Files that run code when opened the careless way, and what to call them."""
    found = {
        f"pickle{protocol}": (pickle.dumps([Payload(mark)], protocol), "a Python pickle")
        for protocol in range(6)
    }
    inner = found["pickle2"][0]
    found["padded"] = (inner + bytes(5000), "a Python pickle")
    for kind, method in (("zip", zipfile.ZIP_STORED), ("zip deflated", zipfile.ZIP_DEFLATED)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("archive/data.pkl", inner)
        found[kind] = (buffer.getvalue(), "a zip archive")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("pickle")
        member.size = len(inner)
        archive.addfile(member, io.BytesIO(inner))
    found["tar"] = (buffer.getvalue(), "a tar archive")
    found["gzip"] = (gzip.compress(inner), "a gzip archive")
    found["7z"] = (b"7z\xbc\xaf\x27\x1c\0\4" + inner, "a 7z archive")
    found["old torch"] = (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + inner, "a Python pickle")
    torch_file = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "code": Payload(mark)}, torch_file)
    found["torch"] = (torch_file.getvalue(), "a zip archive")
    return found


NAMES = ("x.safetensors", "x.SAFETENSORS", "x.ckpt", "x.safetensors.bin", "x")


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_or_archive_is_refused_by_its_bytes_under_any_name(name, tmp_path):
    mark = tmp_path / "mark"
    for content, what in archives(mark).values():
        path = tmp_path / name
        path.write_bytes(content)
        link = tmp_path / "link.safetensors"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        for place in (path, link):
            assert f"is {what}" in refusal(place)
    assert not mark.exists()


def test_a_pickle_in_a_model_folder_is_refused_and_never_run(model, tmp_path):
    mark = tmp_path / "mark"
    weights = model / "transformer/diffusion_pytorch_model.safetensors"
    kept = weights.read_bytes()
    try:
        for content, what in archives(mark).values():
            weights.write_bytes(content)
            with pytest.raises(FileRejected, match=what):
                open_model(model)
    finally:
        weights.write_bytes(kept)
    assert not mark.exists()


EVIL = "import pathlib; pathlib.Path({mark!r}).touch()\n"
AUTO_MAP = {"AutoModel": "modeling_evil.Evil", "AutoTokenizer": ["modeling_evil.Evil", None]}


@pytest.mark.parametrize("place", [".", "transformer", "text_encoder", "tokenizer", "vae"])
@pytest.mark.parametrize("name", ["modeling_evil.py", "__init__.py", "pipeline.py"])
def test_code_in_a_model_folder_is_never_imported(place, name, model, tmp_path):
    mark = tmp_path / "mark"
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / place / name).write_text(EVIL.format(mark=str(mark)))
    for config in folder.rglob("*.json"):
        values = json.loads(config.read_text())
        if config.name in {"config.json", "model_index.json"}:
            values |= {"auto_map": AUTO_MAP, "custom_pipeline": "modeling_evil"}
        config.write_text(json.dumps(values))
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps({"auto_map": AUTO_MAP}))
    before = set(sys.modules)
    start = time.process_time()
    checkpoint = open_model(folder)
    load_tokenizer(checkpoint)
    load_text_encoder(checkpoint, torch.float32, CPU)
    load_transformer(checkpoint, torch.float32, CPU)
    assert time.process_time() - start < 1
    assert not mark.exists()
    assert not {m for m in set(sys.modules) - before if "evil" in m or "pipeline" in m}


def test_a_template_that_would_loop_is_not_looked_at(model):
    config = model / "tokenizer/tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "{% for i in range(10**12) %}x{% endfor %}"}))
    start = time.process_time()
    assert load_tokenizer(open_model(model)).encode("x").ids
    assert time.process_time() - start < 1


def test_a_configuration_that_asks_for_terabytes_gets_none(model):
    config = model / "text_encoder/config.json"
    kept = config.read_text()
    try:
        for field in ("hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers"):
            config.write_text(json.dumps(json.loads(kept) | {field: 10**9}))
            with pytest.raises(FileRejected, match=field):
                open_model(model)
    finally:
        config.write_text(kept)


def test_a_file_that_was_changed_after_it_was_looked_at_is_refused_unread(tmp_path):
    for change in (_grow, _rewrite, _swap):
        path = tmp_path / "x.safetensors"
        path.write_bytes(whole_file(SHAPES))
        header = read_header(path)
        change(path)
        with (
            pytest.raises(FileRejected, match="changed while it was being loaded"),
            open_tensors([header]),
        ):
            pytest.fail("the file was opened")
    path.unlink()
    with pytest.raises(NotFound), open_tensors([header]):
        pytest.fail("the file was opened")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole_file(SHAPES))
    with (
        pytest.raises(FileRejected, match="changed while it was being loaded"),
        open_tensors([read_header(path)]) as source,
    ):
        source.read("pad")
        _rewrite(path)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite(path: Path) -> None:
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.seek(-4, io.SEEK_END)
        file.write(b"new!")


def _swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(whole_file(SHAPES))
    other.replace(path)


CUT_WHILE_OPEN = """
import os, sys
from pathlib import Path
from engine.checkpoints.header import read_header
from engine.checkpoints.tensors import open_tensors
from engine.errors import FileRejected

path = Path(sys.argv[1])
whole = path.read_bytes()
clear = 0
for percent in range(100):
    path.write_bytes(whole)
    header = read_header(path)
    try:
        with open_tensors([header]) as source:
            source.read("first")
            os.truncate(path, len(whole) * percent // 100)
            source.read("last")
    except FileRejected as error:
        clear += "bytes; it was cut short while being read" in error.message
sys.exit(0 if clear == 100 else 3)
"""


def test_a_file_cut_short_while_open_is_an_error_and_no_signal(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole_file({"first": [64, 64], "last": [256, 256]}))
    done = subprocess.run(
        [sys.executable, "-c", CUT_WHILE_OPEN, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_disk_that_fails_while_a_file_is_read_is_our_error(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with pytest.raises(FileRejected, match=r"/x cannot be read: Input/output error"), opened(path):
        raise OSError(5, "Input/output error")


def test_a_good_model_loads_after_every_bad_one(model, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    save_tiny_model(bad)
    weights = bad / "transformer/diffusion_pytorch_model.safetensors"
    for content in (b"", b"junk", weights.read_bytes()[:5000]):
        weights.write_bytes(content)
        with pytest.raises(UserError):
            open_model(bad)
        found = load_transformer(open_model(model), torch.float32, CPU).state_dict()
        stored = load_file(model / "transformer/diffusion_pytorch_model.safetensors")
        assert torch.equal(found["cap_pad_token"], stored["cap_pad_token"].float())


def test_not_a_number_in_the_weights_is_read_as_stored(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.tensor([float("nan"), float("inf"), 1.0])}, path)
    with open_tensors([read_header(path)]) as source:
        assert source.read("w").tolist()[1:] == [float("inf"), 1.0]
