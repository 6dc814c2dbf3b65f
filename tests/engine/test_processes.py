"""The painting process as a process: it dies alone, with its parent, and never in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import Engine, Request, Settings, errors, events
from engine.jobs.order import Order, Output
from engine.service import links
from engine.storage import project_root

ROOT = project_root()
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

SCRIPT = """
import sys
from pathlib import Path
from engine import Engine, Request, Settings
with Engine(Settings(output_folder=Path({folder!r}))) as engine:
    request = Request(prompt="x", model={model!r}, seed=1, steps=1, width=64, height=64)
    sys.stdout.write(str(engine.generate(request).pictures[0].path))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One engine with a process of its own for the whole module: it takes seconds to start."""
    folder = tmp_path_factory.mktemp("pictures")
    with Engine(Settings(output_folder=folder)) as engine:
        yield engine


def worker_of(engine: Engine) -> int:
    return engine._workshop._link._process.pid


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def first_step(engine: Engine, job: str) -> None:
    """Wait until a job denoises."""
    for event in engine.events(job):
        if isinstance(event, events.Progress) and event.step > 0:
            return
    raise AssertionError("the job ended before it was to")


def test_a_picture_from_the_process_equals_one_from_a_thread(running, ask, tmp_path):
    (first,) = running.generate(ask()).pictures
    with Engine(Settings(output_folder=tmp_path), in_process=True) as other:
        (second,) = other.generate(ask()).pictures
    assert first.path.read_bytes() == second.path.read_bytes()


def test_errors_cross_the_process_with_their_kind_and_their_sentence(running, ask):
    with pytest.raises(errors.BadRequest, match="The sampler 'nonesuch' is not known"):
        running.generate(ask(sampler="nonesuch"))


def test_a_running_job_is_cancelled_across_the_process(running, ask):
    job = running.submit(ask(steps=1000))
    first_step(running, job)
    running.cancel(job)
    assert isinstance(list(running.events(job))[-1], events.Cancelled)
    assert len(running.generate(ask()).pictures) == 1


@posix
def test_a_killed_worker_fails_its_job_and_the_next_one_is_painted_the_same(running, ask):
    golden = running.generate(ask()).pictures[0].path.read_bytes()
    before = set(running.settings.output_folder.iterdir())
    job, waiting = running.submit(ask(steps=1000)), running.submit(ask())
    first_step(running, job)
    os.kill(worker_of(running), signal.SIGKILL)
    *_, last = running.events(job)
    assert last.error.code == "worker_lost"
    assert "memory ran out" in last.error.message
    assert running.status().state in {"restarting", "starting"}
    *_, last = running.events(waiting)
    (picture,) = last.result.pictures
    assert picture.path.read_bytes() == golden
    assert set(running.settings.output_folder.iterdir()) - before == {picture.path}


@posix
def test_an_interrupt_from_the_terminal_is_left_to_the_page(running, ask):
    job = running.submit(ask(steps=200))
    first_step(running, job)
    os.kill(worker_of(running), signal.SIGINT)
    assert isinstance(list(running.events(job))[-1], events.Done)


@posix
def test_the_worker_dies_with_its_parent(ask, tmp_path):
    endless = SCRIPT.replace("steps=1,", "steps=1000, count=64,")
    script = endless.format(folder=str(tmp_path), model=ask().model)
    parent = subprocess.Popen((sys.executable, "-c", script), cwd=ROOT)
    tasks = Path(f"/proc/{parent.pid}/task")
    if not (tasks / str(parent.pid) / "children").exists():
        parent.kill()
        parent.wait()
        pytest.skip("this system does not list children")

    def worker() -> list[str]:
        return [c for task in tasks.iterdir() for c in (task / "children").read_text().split()]

    wait_for(worker)
    (pid,) = worker()
    time.sleep(1)
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_alive(int(pid)), seconds=10)
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix == ".png"] == []


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_plain_script_needs_no_main_guard(ask, tmp_path, way):
    text = SCRIPT.format(folder=str(tmp_path), model=ask().model)
    script = tmp_path / "script.py"
    script.write_text(text)
    command = [sys.executable, str(script)] if way == "file" else [sys.executable, "-"]
    done = subprocess.run(
        command,
        input=None if way == "file" else text,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout).is_file()
    assert done.stderr == ""


def test_a_worker_that_cannot_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('a damaged torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failure = pytest.raises(errors.StudioError, match="a damaged torch")
    with Engine(Settings(output_folder=tmp_path)) as engine, failure:
        engine.generate(Request(prompt="x"))


def test_a_module_in_the_users_folder_is_not_imported(ask, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('hostile')")
    (tmp_path / "engine.py").write_text("raise ImportError('hostile')")
    monkeypatch.chdir(tmp_path)
    with Engine(Settings(output_folder=tmp_path)) as engine:
        assert len(engine.generate(ask(steps=1)).pictures) == 1


@pytest.fixture
def worker_program(tmp_path, monkeypatch):
    """Let links start a shell script instead of a worker, and have little patience with it."""

    def install(text: str) -> None:
        program = tmp_path / "worker"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        monkeypatch.setattr(links.sys, "executable", str(program))
        monkeypatch.setattr(links, "GRACE_SECONDS", 0.3)

    return install


@posix
def test_a_worker_that_does_not_read_holds_nobody_up(worker_program):
    worker_program("exec sleep 60")
    long = Order(job="a", request=Request(prompt="x" * 100_000), output=Output(folder=Path()))
    link = links.ProcessLink()
    began = time.monotonic()
    for _ in range(5):
        link.send(long)
    link.end()
    assert time.monotonic() - began < 2
    link.dismiss()
    assert not is_alive(link._process.pid)
    assert link.receive() is None
    assert "killed" in link.last_words()


@posix
def test_a_process_that_outlives_its_kill_does_not_hold_up_the_engine(worker_program, monkeypatch):
    worker_program("exec sleep 60")
    link = links.ProcessLink()
    end = link._process.wait

    def still_there(seconds: float) -> None:
        raise subprocess.TimeoutExpired("worker", seconds)

    monkeypatch.setattr(link._process, "wait", still_there)
    link.dismiss()
    assert end(10) == -signal.SIGKILL
    assert link.receive() is None


@posix
def test_a_process_that_talks_nonsense_fails_the_job_and_is_replaced(worker_program, tmp_path):
    worker_program("echo hello; exec sleep 60")
    with Engine(Settings(output_folder=tmp_path)) as engine:
        for _ in range(2):
            with pytest.raises(errors.BugError, match="JSONDecodeError"):
                engine.generate(Request(prompt="x"))


@posix
@pytest.mark.parametrize(("own", "given"), [(None, "trim_threshold"), ("glibc.x=1", "glibc.x=1")])
def test_a_worker_keeps_freed_memory_unless_the_user_set_it(
    worker_program, monkeypatch, own, given
):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    worker_program("""printf '"%s"\\n' "$GLIBC_TUNABLES" """)
    link = links.ProcessLink()
    assert given in str(link.receive())
    assert link.receive() is None
    link.dismiss()
