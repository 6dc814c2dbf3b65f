"""Downloads outlive a kill, and two processes that want one file get one right file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.hub.server import Hub, noise

ROOT = Path(__file__).parents[3]
SIZE = 4_000_000
COUNTS = [pytest.param(3, id="few"), pytest.param(50, id="many", marks=pytest.mark.slow)]


def fetcher(hub: Hub, folder: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.engine.hub.fetcher"),
            *(hub.endpoint, str(folder), str(SIZE), str(seed)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


@pytest.mark.parametrize("count", COUNTS)
def test_a_killed_download_is_gone_on_with(hub: Hub, tmp_path, count):
    hub.slow = 0.002
    draw = random.Random(5)
    gone_on = 0
    for seed in range(count):
        hub.files["a.bin"] = data = noise(SIZE, seed)
        folder = tmp_path / str(seed)
        process = fetcher(hub, folder, seed)
        process.stdout.readline()
        time.sleep(draw.random() * 0.3)
        process.kill()
        process.communicate()
        final = folder / "a.bin"
        assert not final.exists() or final.read_bytes() == data
        hub.asked.clear()
        finish(fetcher(hub, folder, seed))
        assert final.read_bytes() == data
        assert [path.name for path in folder.iterdir()] == ["a.bin"]
        gone_on += any(ranges for ranges in hub.gets())
    assert gone_on > 0


@pytest.mark.parametrize("count", COUNTS)
def test_of_two_processes_one_fetches_and_both_find_it(hub: Hub, tmp_path, count):
    hub.slow = 0.005
    for seed in range(count):
        hub.files["a.bin"] = data = noise(SIZE, seed)
        hub.sent = 0
        folder = tmp_path / str(seed)
        both = [fetcher(hub, folder, seed) for _ in range(2)]
        for process in both:
            finish(process)
        assert (folder / "a.bin").read_bytes() == data
        assert [path.name for path in folder.iterdir()] == ["a.bin"]
        assert hub.sent < 2 * SIZE


def test_starting_the_program_makes_no_network_call():
    program = """
import socket, sys
calls = []
def refuse(*arguments, **options):
    calls.append(arguments)
    raise OSError("no network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = refuse
import engine, engine.hub, ui.shell
from engine.hub import Downloads, installed
from pathlib import Path
installed(Path("nowhere"))
Downloads().state()
sys.exit(f"calls {calls}" if calls else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_downloads_bring_in_the_networks_code_only_when_they_fetch():
    program = """
import sys, engine.hub
found = {"torch", "httpcore2", "httpx2", "huggingface_hub"} & set(sys.modules)
sys.exit(str(found) if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
