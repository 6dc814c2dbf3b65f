"""`models download` and `models verify`: what they say, what they fetch, how they end."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.cli import downloads
from engine.cli.downloads import (
    add_download_options,
    add_verify_options,
    download_model,
    verify_model,
)
from engine.errors import Cancelled, DiskError, FileRejected, NetworkError, NotFound
from engine.storage import project_root
from tests.engine.hub.server import Hub, model

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    variant = model(server)
    monkeypatch.setattr(downloads, "by_name", lambda name: variant)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_other_models(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_download_options(parser)
    parser.set_defaults(data_dir=Path("data").absolute())
    return parser.parse_args(words)


def fetch(hub: Hub, folder, *words: str) -> int:
    return download_model(parsed("turbo", "--to", str(folder), "--endpoint", hub.endpoint, *words))


def check(name, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_verify_options(parser)
    parser.set_defaults(data_dir=Path("data").absolute())
    return verify_model(parser.parse_args([str(name), *words]))


def test_the_plan_is_said_before_and_the_folder_after(hub, tmp_path, capsys):
    assert fetch(hub, tmp_path, "--yes") == 0
    said = capsys.readouterr().out.splitlines()
    assert "Z-Image-Turbo in bf16, licence Apache-2.0" in said[0]
    assert f"to    {tmp_path}" in said[1]
    assert said[2].startswith(f"fetch 0.00 GB from {hub.endpoint}")
    assert said[-1] == str(tmp_path / "turbo-bf16")


def test_a_script_is_not_asked(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert fetch(hub, tmp_path) == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "maybe\n"])
def test_nothing_is_fetched_unless_the_user_agrees(hub, tmp_path, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(Cancelled, match="Nothing was fetched"):
        fetch(hub, tmp_path)
    assert hub.asked == []


def test_a_yes_is_enough(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("Yes\n"))
    assert fetch(hub, tmp_path) == 0


def test_nobody_is_asked_when_there_is_nothing_to_fetch(hub, tmp_path):
    fetch(hub, tmp_path, "--yes")
    assert fetch(hub, tmp_path) == 0


def test_lines_of_json_tell_plan_progress_and_end(hub, tmp_path, capsys):
    fetch(hub, tmp_path, "--yes", "--json")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "plan"
    assert events[0]["fetch_bytes"] == events[0]["total_bytes"] == 2_205_015
    assert {file["step"] for file in events[0]["files"]} == {"fetch"}
    assert {event["event"] for event in events[1:-1]} == {"progress"}
    assert events[-1] == {"event": "done", "folder": str(tmp_path / "turbo-bf16")}


def test_progress_is_one_line_rewritten(hub, tmp_path, monkeypatch, capsys):
    told = Terminal()
    monkeypatch.setattr("sys.stderr", told)
    fetch(hub, tmp_path, "--yes")
    assert "\n" not in told.getvalue()
    assert "100% of 0.00 GB" in told.getvalue()


def test_a_folder_with_the_files_is_taken_instead_of_the_network(hub, tmp_path, capsys):
    other = tmp_path / "stick"
    other.mkdir()
    for path, data in hub.files.items():
        (other / path.replace("/", "-")).write_bytes(data)
    fetch(hub, tmp_path, "--from", str(other), "--yes")
    assert "link" in capsys.readouterr().out
    # The hash of the schedule is not known, so it alone is fetched.
    assert {path.rsplit("/", 1)[-1] for _, path, _ in hub.asked} == {"scheduler_config.json"}


def test_a_full_disk_is_said_before_the_question(hub, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(DiskError, match="GB are free"):
        fetch(hub, tmp_path)


def test_a_right_model_is_said_to_be_right(hub, tmp_path, capsys):
    fetch(hub, tmp_path, "--yes")
    capsys.readouterr()
    assert check(tmp_path / "turbo-bf16") == 0
    assert "every file is as it was fetched" in capsys.readouterr().out


def test_a_wrong_file_is_named_with_the_command_that_mends_it(hub, tmp_path, capsys):
    fetch(hub, tmp_path, "--yes")
    folder = tmp_path / "turbo-bf16"
    (folder / "vae/ae.safetensors").write_bytes(bytes(1_000_001))
    with pytest.raises(FileRejected, match="has other bytes") as caught:
        check(folder)
    assert str(folder / "vae/ae.safetensors") in caught.value.message
    assert "app.py models download turbo --precision bf16" in caught.value.action
    capsys.readouterr()
    with pytest.raises(FileRejected):
        check(folder, "--json")
    found = json.loads(capsys.readouterr().out)
    assert [fault["file"] for fault in found["faults"]] == ["vae/ae.safetensors"]
    fetch(hub, tmp_path, "--yes")
    assert check(folder) == 0


def test_a_model_that_was_not_downloaded_is_said_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="was not downloaded"):
        check("turbo")


def test_a_model_of_the_users_is_added_and_listed(tmp_path, tiny_model, capsys):
    from engine.cli import models

    data = tmp_path / "data"
    parser = argparse.ArgumentParser()
    models.add_add_options(parser)
    parser.set_defaults(data_dir=data)
    assert models.add_model(parser.parse_args([str(tiny_model), "--name", "mine"])) == 0
    assert capsys.readouterr().out == "mine\n"
    models.list_models(argparse.Namespace(json=True, data_dir=data))
    last = json.loads(capsys.readouterr().out)[-1]
    assert last == {
        "name": "mine",
        "path": str(tiny_model),
        "ready": True,
        "problem": None,
        "added": True,
    }
    models.list_models(argparse.Namespace(json=False, data_dir=data))
    assert capsys.readouterr().out.splitlines()[-1].split() == ["mine", "ready", str(tiny_model)]


@posix
def test_a_download_that_brought_nothing_leaves_nothing(hub, tmp_path):
    endpoint = hub.endpoint
    hub.close()
    options = parsed("turbo", "--to", str(tmp_path / "models"), "--endpoint", endpoint, "--yes")
    with pytest.raises(NetworkError):
        download_model(options)
    assert not list((tmp_path / "models").glob("turbo*"))


def test_ctrl_c_keeps_what_came(hub, tmp_path):
    hub.slow = 0.1
    program = (
        "import sys\n"
        "from engine.cli import downloads\n"
        "from engine.variants import by_name\n"
        "from tests.engine.hub.server import Hub, model\n"
        "hub = Hub()\nvariant = model(hub)\nhub.close()\n"
        "downloads.by_name = lambda name: variant\n"
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "downloads.add_download_options(parser)\n"
        "parser.set_defaults(data_dir=None)\n"
        "sys.exit(downloads.download_model(parser.parse_args(sys.argv[1:])))\n"
    )
    words = ["turbo", "--to", str(tmp_path), "--endpoint", hub.endpoint, "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=project_root(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 30
    while hub.sent < 300_000 and time.monotonic() < end:
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 3.0
    assert b"KeyboardInterrupt" in said
    (part,) = (tmp_path / "turbo-bf16/transformer").iterdir()
    assert part.name.endswith(".part")
    assert part.stat().st_size > 100_000
    hub.slow = 0.0
    fetch(hub, tmp_path, "--yes")
    assert any(ranges.startswith("bytes=") for ranges in hub.gets())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("demo-turbo", "comes with the program"),
        ("omni-base", "not been published"),
        ("turbo", "was not downloaded"),
        ("nope", "no model 'nope'"),
    ],
)
def test_what_was_not_downloaded_cannot_be_verified_and_says_why(
    name, sentence, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=sentence):
        check(name)
