"""A file appears in its place only when size and hash are right, whatever the server does."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from pathlib import Path

import pytest

from engine.errors import Cancelled, DiskError, DownloadCorrupt, NetworkError, NotFound
from engine.hub.part import Part, open_part, part_path
from engine.hub.watch import Patience, Watch
from tests.engine.hub.server import QUICK, Fault, Hub, get, noise, sha256, source

DATA = noise(300_000)
NAME = "a/weights.safetensors"


@pytest.fixture
def wanted(hub: Hub):
    hub.files[NAME] = DATA
    return source(NAME, DATA)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_alone(hub, wanted, tmp_path):
    final = get(hub, wanted, tmp_path)
    assert final.read_bytes() == DATA
    assert left_in(tmp_path / "a") == ["weights.safetensors"]
    assert [method for method, _, _ in hub.asked] == ["HEAD", "GET", "GET"]


def test_a_small_file_is_known_by_its_name_in_git(hub, tmp_path):
    hub.files["config.json"] = b"{}"
    hub.small.add("config.json")
    assert get(hub, source("config.json", b"{}", sha256=None), tmp_path).read_bytes() == b"{}"


def test_a_file_without_a_hash_of_ours_is_checked_with_that_of_the_hub(hub, wanted, tmp_path):
    hub.faults.extend(Fault(body=noise(300_000, 9)) for _ in range(2))
    about = source(NAME, DATA, sha256=None, size=123)
    with pytest.raises(DownloadCorrupt):
        get(hub, about, tmp_path)
    assert get(hub, about, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("act", ["cut", "reset"])
def test_a_download_cut_at_any_byte_goes_on_there(hub, wanted, tmp_path, act):
    draw = random.Random(7)
    for turn in range(50):
        at = draw.randrange(len(DATA))
        hub.asked.clear()
        hub.faults.append(Fault(after=at, act=act))
        folder = tmp_path / str(turn)
        assert get(hub, wanted, folder).read_bytes() == DATA
        first, second = hub.gets()
        assert first == ""
        # A reset may throw away bytes that were on their way.
        came = int(second.removeprefix("bytes=").rstrip("-") or 0)
        assert came == at if act == "cut" else came <= at
        assert left_in(folder) == ["weights.safetensors"]


def test_what_came_is_kept_when_the_line_stays_dead(hub, wanted, tmp_path):
    hub.faults.append(Fault(after=200_000))
    hub.always = Fault(status=503)
    with pytest.raises(NetworkError, match="status 503"):
        get(hub, wanted, tmp_path)
    part = part_path(tmp_path / NAME, wanted.sha256)
    assert left_in(tmp_path) == [part.name]
    assert part.read_bytes() == DATA[:200_000]
    hub.always = None
    hub.asked.clear()
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == ["bytes=200000-"]


def test_a_stall_is_noticed_and_gone_on_from(hub, wanted, tmp_path):
    hub.faults.append(Fault(after=1000, act="stall"))
    begin = time.monotonic()
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert 0.4 < time.monotonic() - begin < 3.0
    assert hub.gets() == ["", "bytes=1000-"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(hub, wanted, tmp_path, status):
    hub.faults.append(Fault(status=status, headers={"Retry-After": "0"}))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA


def test_a_server_that_stays_busy_is_left_alone_in_the_end(hub, wanted, tmp_path):
    hub.always = Fault(status=429)
    with pytest.raises(NetworkError, match="status 429"):
        get(hub, wanted, tmp_path)
    assert len(hub.gets()) == QUICK.tries
    assert not (tmp_path / NAME).exists()


def test_a_range_that_the_server_does_not_know_starts_anew(hub, wanted, tmp_path):
    hub.faults.extend([Fault(after=5000), Fault(status=416)])
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == ["", "bytes=5000-", ""]


def test_a_server_without_ranges_starts_anew(hub, wanted, tmp_path):
    hub.faults.extend([Fault(after=5000), Fault(plain=True)])
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == ["", "bytes=5000-"]


def test_a_file_without_a_length_is_taken_to_its_end(hub, wanted, tmp_path):
    hub.faults.append(Fault(plain=True))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(body=DATA[:-1]), "offers 299999 bytes"),
        (Fault(body=DATA + b"x"), "offers 300001 bytes"),
        (Fault(body=DATA + noise(100_000), plain=True), "longer than it should be"),
        (Fault(body=DATA[:1000], plain=True), "ended in the middle"),
        (Fault(headers={"Content-Encoding": "gzip"}), "offers"),
        (Fault(body=b""), "offers 0 bytes"),
    ],
    ids=["short", "long", "longer unsaid", "shorter unsaid", "compressed", "empty"],
)
def test_a_wrong_length_is_an_error_and_leaves_nothing_in_place(hub, wanted, tmp_path, fault, says):
    hub.always = fault
    with pytest.raises(NetworkError, match=says):
        get(hub, wanted, tmp_path)
    assert not (tmp_path / NAME).exists()
    hub.always = None
    assert get(hub, wanted, tmp_path).read_bytes() == DATA


def test_a_range_from_elsewhere_is_not_written(hub, wanted, tmp_path):
    wrong = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
    hub.faults.extend([Fault(after=5000), Fault(headers=wrong)])
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == ["", "bytes=5000-", ""]


def test_one_wrong_bit_is_found_every_time(hub, wanted, tmp_path):
    draw = random.Random(3)
    for turn in range(100):
        wrong = bytearray(DATA)
        wrong[draw.randrange(len(DATA))] ^= 1 << draw.randrange(8)
        hub.always = Fault(body=bytes(wrong))
        hub.asked.clear()
        with pytest.raises(DownloadCorrupt, match="came twice"):
            get(hub, wanted, tmp_path / str(turn))
        assert len(hub.gets()) == 2
        assert left_in(tmp_path / str(turn)) == []


def test_wrong_bytes_are_fetched_once_more(hub, wanted, tmp_path):
    hub.faults.append(Fault(body=noise(len(DATA), 5)))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA


def test_a_damaged_part_is_found_and_thrown_away(hub, wanted, tmp_path):
    part = part_path(tmp_path / NAME, wanted.sha256)
    part.parent.mkdir()
    part.write_bytes(noise(200_000, 4))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == ["bytes=200000-", ""]


def test_a_part_of_another_version_is_not_gone_on_with(hub, wanted, tmp_path):
    other = part_path(tmp_path / NAME, sha256(b"older"))
    other.parent.mkdir()
    other.write_bytes(noise(200_000, 4))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == [""]
    assert left_in(tmp_path) == ["weights.safetensors"]


def test_a_part_that_is_too_long_is_cut(hub, wanted, tmp_path):
    part = part_path(tmp_path / NAME, wanted.sha256)
    part.parent.mkdir()
    part.write_bytes(DATA + b"more")
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets() == []


def test_another_file_under_the_name_is_refused_before_any_byte(hub, wanted, tmp_path):
    hub.files[NAME] = noise(len(DATA), 1)
    with pytest.raises(DownloadCorrupt, match="another file"):
        get(hub, wanted, tmp_path)
    hub.files[NAME] = DATA[:-1]
    with pytest.raises(DownloadCorrupt, match="another file"):
        get(hub, wanted, tmp_path)
    assert hub.gets() == []


def test_a_server_that_names_no_hash_is_refused_where_we_know_none(hub, wanted, tmp_path):
    hub.on_head = lambda path: (200, {"Content-Length": "300000", "ETag": '"abc"'})
    with pytest.raises(DownloadCorrupt, match="cannot be checked"):
        get(hub, source(NAME, DATA, sha256=None), tmp_path)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_for_us_is_said_at_once(hub, wanted, tmp_path, status):
    hub.on_head = lambda path: (status, {"Content-Length": "0"})
    with pytest.raises(NotFound, match=f"status {status}"):
        get(hub, wanted, tmp_path)
    assert len(hub.asked) == 1


def test_a_signature_that_ran_out_is_renewed(hub, wanted, tmp_path):
    hub.faults.append(Fault(after=1000))
    hub.faults.append(Fault(status=503))
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    # Each attempt asks the hub for the delivery network's address anew.
    assert [method for method, path, _ in hub.asked if "/resolve/" in path] == [
        "HEAD", "GET", "GET", "GET",
    ]  # fmt: skip


@pytest.mark.parametrize("act", ["stall", "slow"])
def test_cancelling_stops_within_a_second_and_keeps_what_came(hub, wanted, tmp_path, act):
    hub.always = Fault(after=150_000, act="stall") if act == "stall" else Fault()
    hub.slow = 0.3 if act == "slow" else 0.0
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(Cancelled):
        get(hub, wanted, tmp_path, cancelled=stop.is_set, patience=Patience(stall=30.0))
    assert time.monotonic() - begin < 1.3
    assert not (tmp_path / NAME).exists()
    part = part_path(tmp_path / NAME, wanted.sha256)
    assert DATA.startswith(part.read_bytes())
    hub.always, hub.slow = None, 0.0
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert hub.gets()[-1] == f"bytes={150_000 if act == 'stall' else part_size(hub)}-"


def part_size(hub: Hub) -> int:
    return int(hub.gets()[-1].removeprefix("bytes=").rstrip("-"))


def test_a_full_disk_is_said_and_what_came_is_kept(hub, wanted, tmp_path, monkeypatch):
    append = Part.append

    def full(part: Part, data: bytes) -> None:
        if part.position > 100_000:
            raise DiskError("No space is left.")
        append(part, data)

    with monkeypatch.context() as patch, pytest.raises(DiskError):
        patch.setattr(Part, "append", full)
        get(hub, wanted, tmp_path)
    assert get(hub, wanted, tmp_path).read_bytes() == DATA
    assert part_size(hub) > 100_000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
@pytest.mark.parametrize("size", [100, 100_000])
def test_a_disk_that_fills_is_said_however_little_was_missing(tmp_path, size):
    import resource

    path = tmp_path / "a.bin"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(DiskError, match="File too large"), open_part(path, "ab", Watch()) as part:
        part.append(bytes(50))
        resource.setrlimit(resource.RLIMIT_FSIZE, (90, before[1]))
        try:
            part.append(bytes(size))
            part.finish(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    assert part_path(path, "ab").stat().st_size == 90


def test_a_file_that_takes_a_little_at_a_time_gets_all(tmp_path):
    class Reluctant(io.BytesIO):
        def write(self, data):
            return super().write(data[:7])

    stream = Reluctant()
    part = Part(tmp_path / "a", stream)
    part.append(DATA[:100])
    assert stream.getvalue() == DATA[:100]
    assert part.sha256() == sha256(DATA[:100])


@pytest.mark.parametrize("leads", ["nowhere", "no/such/folder"])
def test_a_link_in_the_place_of_the_part_does_not_hold_up(hub, wanted, tmp_path, leads):
    part = part_path(tmp_path / NAME, wanted.sha256)
    part.parent.mkdir()
    part.symlink_to(tmp_path / leads)
    stop = threading.Event()
    threading.Timer(3.0, stop.set).start()
    begin = time.monotonic()
    if leads == "nowhere":
        assert get(hub, wanted, tmp_path, cancelled=stop.is_set).read_bytes() == DATA
    else:
        with pytest.raises(DiskError):
            get(hub, wanted, tmp_path, cancelled=stop.is_set)
    assert time.monotonic() - begin < 2.0


def test_the_hubs_library_is_told_to_report_to_nobody(hub, wanted, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    get(hub, wanted, tmp_path)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
