"""`app.py bench --all`: who takes part, how they are asked, and what follows from the figures."""

from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from torch._utils import _get_device_index

from engine import cli
from engine.cli import arm_process, bench_all, bench_arms, bench_table, own_arm, peer_arm
from engine.cli.arm_process import ArmProcess
from engine.cli.bench_arms import CARD_ONLY, REFERENCE, ArmSpec, Case, cases, groups
from engine.errors import WorkerLost
from engine.hardware import Hardware
from engine.request import Precision

CASE = Case(side=64, count=1, steps=2, guidance=0.0)
CHILD = """
import json, sys
for line in sys.stdin:
    order = json.loads(line)
    if order["seed"] == 1002: sys.exit("the card fell out")
    print(json.dumps({"seconds": 0.5, "nfe": order["steps"], "reserved": 0, "card_used": 0,
                      "echo": order}), flush=True)
"""


def spec(name: str, **rest) -> ArmSpec:
    return ArmSpec(name=name, method="ours", precision=Precision.BF16, **rest)


def test_every_arm_that_needs_a_card_is_listed_where_there_is_none():
    arms = [arm for group in groups(has_card=False, quick=False, peer=Path("p")) for arm in group]
    limited = [arm for arm in arms if arm.limit_gb is not None]
    assert {arm.limit_gb for arm in limited} == {4, 6, 8, 12, 16, 24}
    assert {arm.missing for arm in limited} == {CARD_ONLY}
    assert {arm.method for arm in limited} >= {"ours", "group offload", "model offload", "mmgp 4"}
    assert not any(arm.missing for arm in arms if arm.method == "ours" and arm.limit_gb is None)


def test_with_a_card_arms_lack_only_what_is_not_installed(monkeypatch):
    present = lambda name: None if name == "accelerate" else object()  # noqa: E731
    monkeypatch.setattr(bench_arms.importlib.util, "find_spec", present)
    arms = [arm for group in groups(has_card=True, quick=True, peer=None) for arm in group]
    missing = {arm.method: arm.missing for arm in arms if arm.missing}
    assert missing == {
        "mmgp 4": "name the Python of its environment with --peer-python",
        "model offload": "accelerate is not installed",
    }
    assert len({arm.name for arm in arms}) == len(arms)


def test_peers_run_with_the_python_that_the_user_names():
    (arm,) = {
        arm.python
        for group in groups(has_card=True, quick=True, peer=Path("there/python"))
        for arm in group
        if arm.method.startswith("mmgp")
    }
    assert arm == Path("there/python")


def test_all_cases_are_painted_and_a_quick_run_paints_one():
    every = cases((512, 1024, 2048), quick=False)
    assert {case.side for case in every} == {512, 1024, 2048}
    assert {case.count for case in every} == {1, 4}
    assert {(case.steps, case.guidance) for case in every} == {(8, 0.0), (30, 4.0)}
    assert cases((512, 1024, 2048), quick=True) == [Case(side=1024, count=1, steps=8, guidance=0.0)]


@pytest.fixture
def program(tmp_path) -> tuple[str, ...]:
    file = tmp_path / "child.py"
    file.write_text(CHILD)
    return (str(file),)


def test_a_child_answers_orders_until_it_dies_and_says_why(program):
    with ArmProcess(Path(sys.executable), program, {}) as child:
        assert child.ask(CASE.order(1))["echo"]["width"] == 64
        assert child.host_bytes > 2**20
        for _ in range(2):
            with pytest.raises(WorkerLost, match="the card fell out"):
                child.ask(CASE.order(2), patience=20)


def test_a_child_that_does_not_answer_is_ended(tmp_path):
    file = tmp_path / "child.py"
    file.write_text("import time; time.sleep(60)")
    with ArmProcess(Path(sys.executable), (str(file),), {}) as child:
        with pytest.raises(WorkerLost, match="No answer"):
            child.ask({}, patience=0.1)
        child.close()
        assert child._process.returncode != 0


def contest(tmp_path, *arms: ArmSpec) -> bench_all.Contest:
    return bench_all.Contest(
        model=tmp_path, device="cpu", cases=[CASE], groups=[arms], rounds=3, latents=tmp_path
    )


def test_an_arm_that_fails_is_told_and_the_others_go_on(program, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_arms, "OWN_PROGRAM", program)
    arms = (spec("one"), spec("two", missing="no card"))
    seats = bench_all.run_group(arms, contest(tmp_path, *arms))
    assert [seat.missing for seat in seats] == ["the card fell out", "no card"]
    assert len(seats[0].reports[CASE.name]) == 1
    assert seats[1].child is None
    assert "one: the card fell out" in capsys.readouterr().err


def test_orders_are_answered_one_a_line():
    painted = []
    paint = lambda order: painted.append(order["seed"]) or {"nfe": 2}  # noqa: E731
    orders = io.StringIO("".join(json.dumps(CASE.order(n)) + "\n" for n in (1, 2)))
    reports = io.StringIO()
    peer_arm.serve(paint, "cpu", orders, reports)
    assert painted == [1001, 1002]
    found = [json.loads(line) for line in reports.getvalue().splitlines()]
    assert [report["nfe"] for report in found] == [2, 2]
    assert all(report["seconds"] >= 0 and report["reserved"] == 0 for report in found)


def test_only_copies_to_the_card_are_bytes_moved():
    events = [
        {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "args": {"bytes": 100}},
        {"cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pinned)", "args": {"bytes": 7}},
        {"cat": "kernel", "name": "gemm", "args": {}},
        {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "args": {"bytes": 11}},
    ]
    assert peer_arm.moved_bytes({"traceEvents": events}) == 111


def test_a_limited_arm_sees_a_card_of_that_size(monkeypatch):
    cuda, asked = torch.cuda, []
    monkeypatch.setattr(
        cuda, "get_device_properties",
        lambda which=None: type("Card", (), {"total_memory": 140 * 2**30, "name": "big"})(),
    )  # fmt: skip
    monkeypatch.setattr(cuda, "mem_get_info", lambda which=None: (130 * 2**30, 140 * 2**30))
    monkeypatch.setattr(cuda, "memory_reserved", lambda which=None: 2**30)
    monkeypatch.setattr(
        cuda, "set_per_process_memory_fraction",
        lambda share, device: asked.append((share, _get_device_index(device))),
    )  # fmt: skip
    with ExitStack() as stack:
        peer_arm.limit_card(8.0, "cuda", stack)
        assert cuda.get_device_properties("cuda:0").total_memory == 8 * 2**30
        assert cuda.get_device_properties("cuda:0").name == "big"
        assert cuda.mem_get_info() == (int(6.5 * 2**30), 8 * 2**30)
    assert asked == [(pytest.approx(7.5 / 140), 0)]
    assert cuda.mem_get_info()[1] == 140 * 2**30


def figures(name: str, seconds: float, limit: float | None = None, side: int = 64, **rest) -> dict:
    painted = {"side": side, "count": 1, "steps": 2, "guidance": 0.0, "seconds": seconds,
               "each": seconds, "step": seconds / 2, "reserved": 2**30}  # fmt: skip
    return {"name": name, "limit_gb": limit, "missing": "", "cold_seconds": 3.0,
            "card_bytes": None, "moved_bytes": 5 * 10**9, "host_bytes": 2**30,
            "relative_l2": 0.01, "cases": {CASE.name: painted}, **rest}  # fmt: skip


def test_exposed_seconds_are_those_beyond_the_whole_card():
    arms = [
        figures("ours int8", 1.0),
        figures("ours int8 in 4 GB", 1.25, 4.0),
        figures("diffusers bf16", 2.0),
        figures("diffusers group offload in 4 GB", 9.0, 4.0),
    ]
    assert [bench_table.exposed(arm, CASE.name, arms) for arm in arms] == [None, 0.25, None, 7.0]


def test_time_grows_by_a_power_of_the_side():
    arm = figures("ours int8", 1.0)
    arm["cases"]["large"] = {**arm["cases"][CASE.name], "side": 128, "seconds": 4.0}
    assert bench_table.growth(arm) == {"64 to 128, 2 steps": 2.0}


def test_the_table_shows_every_arm_and_why_one_is_missing():
    arms = [figures("ours int8", 1.5), figures("mmgp", 1.0, missing="not there", cases={})]
    lines = list(bench_table.table(arms))
    (row,) = [line for line in lines if "1.500" in line]
    assert row.split()[:3] == ["ours", "int8", "1.500"]
    assert "5.00" in row
    assert "1.0e-02" in row
    assert lines[-1].split() == ["mmgp", "not", "measured:", "not", "there"]


@pytest.mark.slow
def test_one_command_compares_everyone_and_writes_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_all, "hardware", Hardware)
    monkeypatch.setattr(bench_all, "QUICK_ROUNDS", 1)
    file = tmp_path / "figures.json"
    words = ["bench", "--all", "--quick", "--random-weights", "demo", "--json", str(file)]
    assert cli.main(words, lambda *_: None) == 0
    (found,) = json.loads(file.read_text())
    arms = {arm["name"]: arm for arm in found["arms"]}
    for name in (REFERENCE, "ours bf16", "ours int8", "quanto int8"):
        (painted,) = arms[name]["cases"].values()
        assert painted["nfe"] == 8
        assert painted["seconds"] > 0
        assert arms[name]["cold_seconds"] > painted["seconds"]
        assert arms[name]["host_bytes"] > 2**26
    assert arms["ours bf16"]["relative_l2"] < 0.02
    assert arms["ours int8"]["relative_l2"] < 0.05
    assert arms["ours int8 in 4 GB"]["missing"] == CARD_ONLY
    assert "s/picture" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--quick"], ["--peer-python", "x"]])
def test_what_belongs_to_the_contest_is_refused_without_it(words, capsys):
    assert cli.main(["bench", *words], lambda *_: None) == 2
    assert "--all" in capsys.readouterr().err


def test_a_peer_python_that_is_not_there_is_one_clear_sentence(tmp_path, capsys):
    words = ["bench", "--all", "--peer-python", str(tmp_path / "python")]
    assert cli.main(words, lambda *_: None) == 2
    assert "is no file" in capsys.readouterr().err


def test_our_arm_carries_out_an_order_as_a_job(tiny_model, tmp_path):
    config = spec("ours").config(tiny_model, "cpu") | {"precision": "fp32"}
    paint = own_arm.painter(config, tmp_path)
    file = tmp_path / "latents.safetensors"
    report = paint({**CASE.order(1), "latents": str(file)})
    assert report["nfe"] == 2
    assert report["stages"]["denoising"] > 0
    assert bench_all._read(file).shape == (1, 16, 8, 8)


def test_the_memory_of_a_process_that_is_gone_is_nothing():
    assert arm_process.host_bytes(2**30) == 0


def test_what_was_measured_once_stands_with_the_first_case():
    arm = figures("ours int8", 1.5)
    arm["cases"]["again"] = {**arm["cases"][CASE.name], "seconds": 2.5, "each": 2.5}
    rows = [line.split() for line in bench_table.table([arm]) if line.startswith("ours int8")]
    assert rows[0][-2:] == ["3.0", "1.0e-02"]
    assert rows[1][2] == "2.500"
    assert rows[1][-2:] == ["-", "-"]


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 5), (24, 5), (50, 2), (300, 1)])
def test_a_long_case_gets_fewer_rounds(seconds, rounds):
    assert bench_all.rounds_in(seconds, 5) == rounds
