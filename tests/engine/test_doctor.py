"""The examination of a machine: what it finds, what it chose and why, and its proof."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
import torch

from engine import cli
from engine.cli import doctor
from engine.errors import NumericalError
from engine.hardware import Card, Choice, Hardware, Host, Rates, Tuning
from engine.memory.work import GIB
from engine.model.attention import sdpa
from engine.model.tiled import tiled
from engine.quant.products import WEIGHT_ONLY
from engine.request import Precision
from engine.setup.machine import Gpu, Machine

HOST = Host(total_bytes=32 * GIB, available_bytes=24 * GIB, cores=8)
CARD = Card(name="Laptop", capability=(8, 6), total_bytes=8 * GIB, free_bytes=7 * GIB, display=True)
RATES = Rates(link=24.6e9, disk=1.8e9, operations={"bf16": 2.2e13, "int8": 7e13})
SEEN = [
    "system", "processor", "memory", "PyTorch", "device", "precision", "attention", "int8", "link",
    "disk", "speed", "optimised", "plan",
]  # fmt: skip


def test_the_doctor_finds_this_machine_well(capsys, tmp_path):
    began = time.monotonic()
    assert cli.main(["doctor", "--data-dir", str(tmp_path)], lambda *_: None) == 0
    written = capsys.readouterr()
    lines = [line.split()[0] for line in written.out.splitlines()]
    assert written.err == ""
    assert [line for line in lines if line not in {"card", "budget"}][: len(SEEN)] == SEEN
    assert lines[-1] == "proof"
    assert time.monotonic() - began < 60


def test_a_computer_is_described_by_what_may_be_used_of_it():
    gpu = Gpu(vendor="nvidia", memory_mib=8192, driver=(581, 29))
    machine = Machine(system="Linux", architecture="x86_64", python=(3, 11), gpus=(gpu,))
    _, processor, memory, card, _ = doctor.system_lines(machine, Hardware(host=HOST))
    assert processor == f"processor   8 of {os.cpu_count()} cores may be used"
    assert memory == "memory      32.0 GiB may be used; 24.0 GiB can be taken now"
    assert card == "card        nvidia, 8192 MiB, driver 581.29"


def test_memory_that_the_system_does_not_tell_is_unknown():
    machine = Machine(system="Plan 9", architecture="x86_64", python=(3, 11))
    assert "memory      unknown: this system does not tell" in doctor.system_lines(
        machine, Hardware()
    )


def test_what_a_model_may_take_of_a_card_is_said_with_the_reason():
    (line,) = doctor.memory_lines(CARD)
    assert line == (
        "budget      6.2 of 8.0 GiB: 1.0 GiB are taken by other programs, "
        "0.8 GiB stay free for the driver and for the screen that may be drawn from it"
    )
    (line,) = doctor.memory_lines(replace(CARD, display=False))
    assert line.endswith("0.3 GiB stay free for the driver")
    assert list(doctor.memory_lines(None)) == []


def test_link_disk_and_speed_are_told_as_measured(monkeypatch):
    monkeypatch.setattr(doctor, "SEES_CACHE", False)
    assert list(doctor.rate_lines(CARD, RATES)) == [
        "link        24.6 GB/s from page-locked memory to the card",
        "disk        1.8 GB/s, which the system's cache may help",
        "speed       bf16 22, int8 70 TFLOP/s in large products",
    ]


def test_what_could_not_be_measured_is_unknown():
    link, disk, speed = doctor.rate_lines(CARD, Rates())
    assert link.startswith("link        unknown")
    assert disk.startswith("disk        unknown")
    assert speed.startswith("speed       unknown")
    assert next(doctor.rate_lines(None, Rates())).startswith("link        none")


@pytest.mark.parametrize(
    ("attend", "said"),
    [(sdpa, "SDPA: PyTorch's own"), (tiled, "tiled: by products of oneDNN")],
)
def test_the_processors_kernels_are_named(monkeypatch, attend, said):
    monkeypatch.setattr(doctor, "native", lambda: attend)
    attention, int8 = doctor.kernel_lines(torch.device("cpu"))
    assert attention.startswith(f"attention   {said}")
    assert int8.endswith("computes right here")
    monkeypatch.setattr(doctor, "choose", lambda _: WEIGHT_ONLY)
    *_, int8 = doctor.kernel_lines(torch.device("cpu"))
    assert int8.startswith("int8        weights alone")


def test_the_ways_that_were_found_fastest_are_listed():
    assert "not yet" in doctor.tuning_line(Tuning(device="cpu"))
    choices = [
        Choice(subject="block", name="fused", seconds=1.0, taken=True),
        Choice(subject="threads", name="2", seconds=1.0, taken=False),
        Choice(subject="threads", name="4", seconds=0.5, taken=True),
    ]
    line = doctor.tuning_line(Tuning(device="cpu", choices=tuple(choices), seconds=3.0))
    assert line == "optimised   block fused, threads 4"


@pytest.fixture
def ampere(monkeypatch):
    """Give torch a card that computes in bfloat16."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))


def test_a_small_card_gets_a_plan_with_a_time(ampere):
    line = doctor.forecast("cuda", CARD, HOST, RATES)
    assert line.startswith("cuda int8; ")
    assert "streamed" in line
    assert line.endswith(" s")
    assert not doctor.forecast("cuda", CARD, HOST, Rates()).endswith(" s")


def test_a_card_that_is_too_small_is_told_what_would_do(ampere):
    tiny = Card(name="", capability=(8, 6), total_bytes=GIB, free_bytes=GIB // 2)
    line = doctor.forecast("cuda", tiny, HOST, RATES)
    assert "needs at least" in line


def test_a_processor_plans_with_the_computers_memory():
    assert "whole model resident" in doctor.forecast("cpu", None, HOST, Rates())
    small = Host(total_bytes=2 * GIB, available_bytes=GIB // 4)
    assert "needs at least" in doctor.forecast("cpu", None, small, Rates())


def test_a_device_that_computes_wrong_does_not_pass(monkeypatch):
    conv2d = torch.nn.functional.conv2d

    def wrong(x, *rest, **options):
        right = conv2d(x, *rest, **options)
        return right if x.dtype is torch.float64 else right + 0.1

    doctor.check_arithmetic("cpu", Precision.FP32)
    monkeypatch.setattr(torch.nn.functional, "conv2d", wrong)
    with pytest.raises(NumericalError, match="convolution on cpu in fp32 is off by"):
        doctor.check_arithmetic("cpu", Precision.FP32)
