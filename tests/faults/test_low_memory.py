"""A process that may take only so much memory paints, or says that it cannot; it never dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import save_tiny_model

ROOT = Path(__file__).parents[2]
LIMITS = (4, 12, 24, 40, 64, 96, 140, 200, 400, 800)
"""MiB of address space beyond what the process has before it begins."""

# Each limit in a child of its own, which has torch without importing it again.
SCRIPT = """
import os, resource, sys
from pathlib import Path
import torch
from engine import Request
from engine.errors import StudioError
from engine.jobs.order import Hooks, Order, Output
from engine.memory.studio import Studio
from engine.run import execute

model, folder, limits = sys.argv[1], Path(sys.argv[2]), map(int, sys.argv[3].split(","))
hooks = Hooks(emit=lambda step: None, warn=lambda text: None, cancelled=lambda: False)
torch.set_num_threads(1)

def paint(limit):
    asked = Request(prompt="x", model=model, seed=1, steps=1, width=512, height=512)
    order = Order(job="x", request=asked, output=Output(folder=folder), data_dir=folder / "data")
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + limit * 2**20,) * 2)
    try:
        execute(order, Studio(), hooks)
    except StudioError as error:
        return error.code, bool(error.action)
    return "done", True

for limit in limits:
    child = os.fork()
    if child == 0:
        code, helps = paint(limit)
        sys.stdout.write(f"{limit} {code} {helps}\\n")
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        sys.stdout.write(f"{limit} died {status}\\n")
        sys.stdout.flush()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_too_little_memory_is_told_and_kills_nothing(tmp_path):
    model, folder = tmp_path / "model", tmp_path / "pictures"
    model.mkdir()
    folder.mkdir()
    save_tiny_model(model)
    limits = ",".join(map(str, LIMITS))
    done = subprocess.run(
        (sys.executable, "-c", SCRIPT, str(model), str(folder), limits),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(told) == [str(limit) for limit in LIMITS], done.stderr
    assert set(told.values()) <= {"done True", "out_of_memory True"}, (told, done.stderr)
    assert told[str(LIMITS[0])] == "out_of_memory True"
    assert told[str(LIMITS[-1])] == "done True"
