"""A download makes a whole model folder, tells how far it is, and says what it left there."""

from __future__ import annotations

import json
import random
import time

import pytest

from engine.errors import Cancelled, FileRejected, NetworkError, NotFound
from engine.hub import download, folder_for, installed, installed_folder, verify
from engine.request import Precision
from engine.variants import by_name
from tests.engine.hub.server import QUICK, Fault, model, planned, sha256


@pytest.fixture
def here(hub, tmp_path):
    """A model that was downloaded."""
    return download(planned(hub, model(hub), tmp_path), patience=QUICK)


def test_every_file_lies_in_its_place(hub, here):
    for path, data in hub.files.items():
        assert (here / path).read_bytes() == data
    assert sorted(path.name for path in here.iterdir()) == [
        "download.json", "scheduler", "tokenizer", "transformer", "vae",
    ]  # fmt: skip


def test_the_record_names_source_size_and_hash_of_every_file(hub, here):
    record = json.loads((here / "download.json").read_text())
    assert (record["variant"], record["precision"], record["complete"]) == ("turbo", "bf16", True)
    assert {f["to"]: f["sha256"] for f in record["files"]} == {
        path: sha256(data) for path, data in hub.files.items()
    }
    assert record["files"][0]["source"] == "maker/model/transformer/weights.safetensors"


def test_progress_grows_to_the_whole(hub, tmp_path):
    hub.slow = 0.02
    seen = []
    plan = planned(hub, model(hub), tmp_path)
    download(plan, seen.append, patience=QUICK)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, plan.total_bytes)
    assert {progress.total for progress in seen} == {plan.total_bytes}
    assert {"transformer/weights.safetensors", "vae/ae.safetensors"} <= {p.file for p in seen}
    assert any(p.bytes_per_second > 0 and p.seconds_left is not None for p in seen)


def test_a_model_counts_as_installed_when_it_is_whole(hub, tmp_path):
    plan = planned(hub, model(hub), tmp_path)
    hub.always = Fault(status=503)
    with pytest.raises(NetworkError):
        download(plan, patience=QUICK)
    assert installed(tmp_path) == ()
    hub.always = None
    folder = download(plan, patience=QUICK)
    (found,) = installed(tmp_path)
    assert (found.variant, found.precision, found.folder) == ("turbo", Precision.BF16, folder)
    assert found.size == plan.total_bytes
    assert folder == folder_for(by_name("turbo"), Precision.BF16, tmp_path)
    assert installed_folder(by_name("turbo"), tmp_path, Precision.INT8) == folder
    assert installed_folder(by_name("base"), tmp_path, Precision.BF16) is None
    (folder / "vae/ae.safetensors").unlink()
    assert installed(tmp_path) == ()


def test_a_plan_can_be_carried_out_twice_and_fetches_once(hub, tmp_path):
    plan = planned(hub, model(hub), tmp_path)
    download(plan, patience=QUICK)
    gets = len(hub.gets())
    download(plan, patience=QUICK)
    assert len(hub.gets()) == gets


def test_cancelling_between_files_stops(hub, tmp_path):
    with pytest.raises(Cancelled):
        download(planned(hub, model(hub), tmp_path), cancelled=lambda: True, patience=QUICK)
    assert hub.asked == []


def test_a_right_model_has_no_faults(here):
    seen = []
    assert verify(here, on_file=seen.append) == ()
    assert len(seen) == 4


def test_every_flipped_bit_is_found_before_the_file_is_used(hub, here):
    draw = random.Random(11)
    for _ in range(100):
        path = here / draw.choice(sorted(hub.files))
        right = path.read_bytes()
        data = bytearray(right)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        # Quick: what did not change is not read again.
        (fault,) = verify(here, again=False)
        assert here / fault.file == path
        assert "other bytes" in fault.problem
        path.write_bytes(right)
    assert verify(here) == ()


def test_a_damaged_file_is_mended_by_downloading_again(hub, here, tmp_path):
    for path in hub.files:
        (here / path).write_bytes(bytes(len(hub.files[path])))
        hub.asked.clear()
        download(planned(hub, model(hub), tmp_path), patience=QUICK)
        assert verify(here) == ()
        assert {p.rsplit("/", 1)[-1] for _, p, _ in hub.asked} == {path.rsplit("/", 1)[-1]}


def test_a_bit_that_flipped_behind_the_systems_back_is_found_by_reading_all(hub, here):
    import os

    path = here / "vae/ae.safetensors"
    before = path.stat()
    path.write_bytes(bytes(len(hub.files["vae/ae.safetensors"])))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify(here, again=False) == ()
    assert [fault.file for fault in verify(here)] == ["vae/ae.safetensors"]


def test_a_missing_and_a_short_file_are_named(here):
    (here / "tokenizer/tokenizer.json").unlink()
    (here / "vae/ae.safetensors").write_bytes(b"short")
    assert {fault.file: fault.problem for fault in verify(here)} == {
        "vae/ae.safetensors": "has 5 bytes instead of 1,000,001",
        "tokenizer/tokenizer.json": "is missing",
    }


def test_what_did_not_change_is_not_read_again(here):
    begin = time.perf_counter()
    for _ in range(20):
        verify(here, again=False)
    assert time.perf_counter() - begin < 1.0


def test_a_folder_that_was_not_downloaded_cannot_be_verified(tmp_path):
    with pytest.raises(NotFound, match="not filled by a download"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"to": "../../etc/passwd", "source": "x", "size": 1, "sha256": "0"}]},
        {"files": [{"to": "/etc/passwd", "source": "x", "size": 1, "sha256": "0"}]},
        {"files": [{"to": "a/./b", "source": "x", "size": 1, "sha256": "0"}]},
        {"files": [{"to": "C:\\x", "source": "x", "size": 1, "sha256": "0"}]},
        {"files": [{"to": "x", "source": "x", "size": "1", "sha256": "0"}]},
        {"files": ["x"]},
        {"files": [{}] * 300},
        {"precision": "fp7"},
        {"complete": 1},
        {"version": None},
    ],
)
def test_a_record_from_a_stranger_is_refused(here, tmp_path, change):
    record = json.loads((here / "download.json").read_text())
    (here / "download.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(FileRejected):
        verify(here)
    assert installed(tmp_path) == ()
