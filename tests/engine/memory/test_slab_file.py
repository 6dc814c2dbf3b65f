"""A file of slabs is believed only if it fits, and is written only where there is room."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from engine.errors import DiskError, FileRejected
from engine.memory import slab_file
from engine.memory.slab import Slab, lay_out, tensors_of
from engine.memory.slab_file import Identity, SlabFile, cells_of, open_slabs, write_slabs

WHO = Identity("transformer", "abc", ("bf16", 1))
Usage = namedtuple("Usage", "total used free")


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(40, 30), nn.LayerNorm(30)).requires_grad_(False)


def write(folder: Path, identity: Identity = WHO, seed: int = 0, count: int = 3) -> list[Slab]:
    """Write the slabs of some modules."""
    slabs = []
    with write_slabs(folder, identity, 100_000) as writer:
        for number in range(count):
            slab = Slab(f"transformer.{number}", lay_out(tensors_of(net(seed + number))))
            slab.pack(None)
            writer.add(slab)
            slabs.append(slab)
    return slabs


@pytest.fixture
def opened(tmp_path):
    """Open the file of an identity; closed at the end."""
    found = []

    def find(names=("transformer.0",), identity: Identity = WHO) -> SlabFile | None:
        file = open_slabs(tmp_path, identity, names)
        if file is not None:
            found.append(file)
        return file

    yield find
    for file in found:
        file.close()


def test_slabs_come_back_as_they_were_written(tmp_path, opened):
    slabs = write(tmp_path)
    file = opened([slab.name for slab in slabs])
    for slab in reversed(slabs):
        found = torch.zeros(slab.bytes, dtype=torch.uint8)
        file.read(slab.name, found)
        assert torch.equal(found, slab.memory)


def test_the_file_is_plain_safetensors(tmp_path):
    slabs = write(tmp_path)
    with safe_open(WHO.path(tmp_path), "pt") as file:
        assert torch.equal(file.get_tensor("transformer.1"), slabs[1].memory)


def test_another_start_finds_where_the_tensors_lie(tmp_path, opened):
    (slab, *_) = write(tmp_path)
    module = net(5)
    cells = cells_of(opened(), slab.name, module)
    again = Slab(slab.name, cells)
    again.shelve(opened())
    filled = torch.zeros(again.bytes, dtype=torch.uint8)
    again.fill(filled)
    for table, leaf, tensor in again.settings(filled):
        table[leaf] = tensor
    expected = net(0).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in module.state_dict().items())


def test_files_of_other_weights_or_facts_are_not_taken(tmp_path, opened):
    write(tmp_path)
    assert opened() is not None
    assert opened(identity=Identity("transformer", "abd", ("bf16", 1))) is None
    assert opened(identity=Identity("transformer", "abc", ("bf16", 2))) is None
    assert opened(names=["transformer.0", "transformer.7"]) is None
    WHO.path(tmp_path).rename(Identity("vae", "abc", ()).path(tmp_path))
    assert opened(identity=Identity("vae", "abc", ())) is None


@pytest.mark.parametrize("spoil", ["cut", "grown", "empty", "text"])
def test_a_damaged_file_is_not_taken(spoil, tmp_path, opened):
    write(tmp_path)
    path = WHO.path(tmp_path)
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-1], "grown": data + b"\0", "empty": b"", "text": b"{}" + data[2:]}[spoil]
    )
    assert opened() is None


def test_a_file_that_is_cut_short_while_open_says_so(tmp_path, opened):
    slabs = write(tmp_path)
    file = opened()
    path = WHO.path(tmp_path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 10)
    with pytest.raises(FileRejected, match="cut short while in use"):
        file.read(slabs[-1].name, torch.zeros(slabs[-1].bytes, dtype=torch.uint8))
    assert file.damaged


def row(**changes: object) -> list[object]:
    values = {"path": "0", "leaf": "weight", "kind": "float32", "shape": [30, 40],
              "stride": [40, 1], "offset": 0} | changes  # fmt: skip
    return list(values.values())


@pytest.mark.parametrize(
    "change",
    [
        {"path": "7"},
        {"leaf": "forward"},
        {"leaf": 5},
        {"kind": "pickle"},
        {"shape": [30, 4000]},
        {"shape": [-30, 40]},
        {"shape": "xy"},
        {"shape": [40, 30], "stride": [30, 1]},
        {"stride": [4000, 1]},
        {"stride": [40]},
        {"offset": 100},
        {"offset": 1 << 40},
        {"offset": 0.5},
    ],
)
def test_a_layout_that_does_not_fit_the_module_is_refused(change, tmp_path, opened):
    (slab, *_) = write(tmp_path)
    file = opened()
    rows = json.loads(file.header.metadata["layout"])[slab.name]
    assert rows[0] == row()
    rows[0] = row(**change)
    layout = {"layout": json.dumps({slab.name: rows})}
    object.__setattr__(file.header, "metadata", layout)
    with pytest.raises(FileRejected, match=r"does not describe transformer\.0"):
        cells_of(file, slab.name, net())


def test_a_layout_that_lacks_a_tensor_is_refused(tmp_path, opened):
    (slab, *_) = write(tmp_path)
    with pytest.raises(FileRejected, match="does not describe"):
        cells_of(opened(), slab.name, nn.Sequential(*net(), nn.Linear(2, 2)))


def test_a_slab_of_another_size_than_its_layout_is_refused(tmp_path, opened):
    (slab, *_) = write(tmp_path)
    file = opened()
    entry = file.header.tensors[slab.name]
    object.__setattr__(file.header, "tensors", {slab.name: replace(entry, end=entry.end + 256)})
    with pytest.raises(FileRejected, match="does not describe"):
        cells_of(file, slab.name, net())


def test_nothing_is_written_where_there_is_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    with pytest.raises(DiskError, match=r"needs 100,000 bytes in .*, where 1,000 are free"):
        write(tmp_path / "slabs")
    assert list((tmp_path / "slabs").iterdir()) == []


def test_old_files_make_room_and_so_do_files_of_the_same_weights(tmp_path, monkeypatch):
    others = [Identity("transformer", name, ()) for name in ("old", "new")]
    for other in others:
        write(tmp_path, other)
    write(tmp_path, Identity("transformer", "abc", ("bf16", 0)))
    write(tmp_path)
    other_type = Identity("transformer", "abc", ("int8", 0))
    write(tmp_path, other_type)
    kept = {other.path(tmp_path) for other in (*others, other_type, WHO)}
    assert set(tmp_path.iterdir()) == kept

    def free(_: Path) -> Usage:
        """One file must go for each to come."""
        return Usage(0, 0, 10**12 if len(list(tmp_path.iterdir())) < 4 else 0)

    monkeypatch.setattr(shutil, "disk_usage", free)
    write(tmp_path, Identity("vae", "x", ()))
    assert others[0].path(tmp_path) not in set(tmp_path.iterdir())
    assert WHO.path(tmp_path) in set(tmp_path.iterdir())


def test_the_folder_of_slabs_does_not_grow_without_bounds(tmp_path):
    names = [Identity("transformer", str(number), ()) for number in range(10)]
    for name in names:
        write(tmp_path, name, count=1)
    assert len(list(tmp_path.iterdir())) == slab_file.KEPT_FILES + 1
    assert names[-1].path(tmp_path).exists()


def test_a_failure_on_the_way_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), write_slabs(tmp_path, WHO, 1):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_room_on_the_disk_is_left_to_others():
    assert slab_file.SPARE_BYTES >= 10**8
