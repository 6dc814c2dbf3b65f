"""The table of PyTorch builds, over machines that were seen in the field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.setup.machine import Gpu, Machine, gfx_name, gpus_from, parse_pnp_ids
from engine.setup.table import BUILDS, RULES
from engine.setup.wheels import choose

ROOT = Path(__file__).parents[3]
MACHINES = json.loads(Path(__file__).with_name("machines.json").read_text(encoding="utf-8"))[
    "machines"
]


def machine_of(case: dict) -> Machine:
    pci = [tuple(int(part, 16) for part in pair.split(":")) for pair in case.get("pci", ())]
    gfx = [gfx_name(version) for version in case.get("gfx", ()) if version]
    return Machine(
        system=case["system"],
        architecture=case.get("architecture", "x86_64"),
        python=(3, 11),
        gpus=gpus_from(case.get("smi"), [*pci, *parse_pnp_ids(case.get("pnp", ""))], gfx),
    )


def test_the_collection_of_machines_has_not_shrunk():
    names = [case["name"] for case in MACHINES]
    assert len(names) == len(set(names)) >= 75


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case["name"])
def test_a_machine_gets_the_build_that_runs_on_it(case):
    choice = choose(machine_of(case))
    assert choice.label == case["label"]
    assert case.get("says", "") in f"{choice.reason} {choice.advice}"


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case["name"])
def test_pip_is_asked_for_one_version_from_one_official_place(case):
    choice = choose(machine_of(case))
    if choice.label == "none":
        assert choice.pip_arguments == ()
        assert choice.advice
    elif choice.label in {"cpu", "mps"}:
        assert choice.pip_arguments == ("torch==2.13.0",)
    else:
        folder = BUILDS[choice.label].folder
        address = f"https://download.pytorch.org/whl/{folder}"
        assert choice.pip_arguments == ("torch==2.13.0", "--index-url", address)


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: case["name"])
def test_the_reason_is_one_plain_sentence(case):
    choice = choose(machine_of(case))
    assert "\n" not in choice.reason + choice.advice
    assert not choice.reason.endswith(".")
    assert choice.advice == "" or choice.advice[0].isupper()


def test_every_rule_of_the_table_decides_for_some_machine():
    deciding = {
        (c.label, c.reason.rsplit(": ", 1)[-1], c.advice) for c in map(choose_for, MACHINES)
    }
    unused = [r for r in RULES if (r.label, r.reason, r.advice) not in deciding]
    assert unused == []


def choose_for(case: dict):
    return choose(machine_of(case))


def test_the_build_named_by_the_user_is_taken_on_any_machine():
    choice = choose(Machine(system="Linux", architecture="x86_64", python=(3, 11)), "cu126")
    assert choice.label == "cu126"
    assert choice.pip_arguments[-1].endswith("/whl/cu126")


def test_a_build_that_does_not_exist_ends_with_the_names_of_those_that_do():
    machine = Machine(system="Linux", architecture="x86_64", python=(3, 11))
    with pytest.raises(SystemExit, match="cu128 names no build; choose one of cu130"):
        choose(machine, "cu128")


def test_a_card_without_numbers_is_not_taken_for_one_with_a_driver():
    machine = Machine(
        system="Linux", architecture="x86_64", python=(3, 11), gpus=(Gpu(vendor="nvidia"),)
    )
    assert choose(machine).label == "cpu"


def test_the_requirements_pin_the_version_that_the_table_installs():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in lines


def test_the_choice_is_written_with_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-S", "-m", "engine.setup.wheels"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    arguments, reason, label, _ = done.stdout.split("\n")[:4]
    assert done.returncode == int(label == "none")
    assert reason
    assert arguments.startswith("torch==2.13.0") or label == "none"
