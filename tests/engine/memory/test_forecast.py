"""What the page tells before a job is begun."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.checkpoints.open import open_model
from engine.hardware import Card, Host, Rates
from engine.memory.activations import footprint_of
from engine.memory.budget import (
    CONTEXT_BYTES,
    DISPLAY_BYTES,
    PROGRAM_BYTES,
    budget_for,
    device_budget,
    numbers_of,
)
from engine.memory.forecast import Advice, Fit, Note, Remedy, forecast
from engine.memory.ledger import Numbers
from engine.memory.pieces import sizes_of
from engine.memory.plan import Wish, make_plan
from engine.memory.work import GIB
from engine.request import Precision
from engine.settings import Profile
from tests.engine.memory.true_sizes import (
    BF16,
    INT8,
    RTX_3060,
    card,
    footprint,
    sizes,
    work,
)

AMPERE = Card(name="Card", capability=(8, 6), total_bytes=8 * GIB, free_bytes=8 * GIB)
TURING = replace(AMPERE, capability=(7, 5))
APPLE = Card(name="Apple", capability=(0, 0), total_bytes=9 * GIB, free_bytes=6 * GIB, kind="mps")


def told(budget, side=1024, numbers=INT8, wish=None, **changes):
    return forecast(work(side, **changes), sizes(numbers), footprint(numbers), budget, wish)


def test_a_job_that_fits_says_what_it_takes_and_how_long():
    found = told(card(16))
    assert found.fit is Fit.FITS
    assert 10 * GIB < found.needed_bytes < 13 * GIB
    assert found.budget_bytes == 16 * GIB
    assert 5 < found.seconds < 30
    assert found.notes == found.advice == ()


@pytest.mark.parametrize("gb", [1.2, 2, 4, 8])
def test_what_is_told_is_what_is_planned(gb):
    found = told(card(gb))
    planned = make_plan(work(), sizes(), footprint(), card(gb))
    assert found.needed_bytes == planned.peak_bytes + CONTEXT_BYTES
    assert found.seconds == planned.seconds
    assert Note.STREAMED in found.notes
    assert (Note.ON_HOST in found.notes) == planned.decode.on_host


def test_a_job_that_takes_much_longer_for_lack_of_memory_is_tight():
    poor = Host(total_bytes=8 * GIB, available_bytes=4 * GIB)
    found = told(card(4, poor, replace(RTX_3060, disk=0.5e9)))
    assert found.fit is Fit.TIGHT
    assert Note.FROM_DISK in found.notes
    assert Note.READ_AGAIN in found.notes
    assert found.advice == (Advice(remedy=Remedy.CLOSE_PROGRAMS),)


def test_tight_in_bf16_may_be_well_in_int8():
    slow = replace(RTX_3060, link=4e9)
    found = told(card(4, rates=slow), side=512, numbers=BF16)
    assert found.fit is Fit.TIGHT
    assert found.advice[0] == Advice(remedy=Remedy.INT8)


def test_what_is_impossible_says_what_to_change():
    found = told(card(1.0), side=2048)
    assert found.fit is Fit.IMPOSSIBLE
    assert found.seconds is None
    assert found.needed_bytes > found.budget_bytes == GIB
    smaller, *rest = found.advice
    assert smaller.remedy is Remedy.SMALLER
    assert told(card(1.0), side=smaller.width).fit is not Fit.IMPOSSIBLE
    assert rest == [Advice(remedy=Remedy.CLOSE_PROGRAMS)]
    assert Advice(remedy=Remedy.INT8) in told(card(1.0), side=2048, numbers=BF16).advice


def test_of_a_machine_that_was_not_measured_no_seconds_are_told():
    for gb in (2, 16):
        assert told(card(gb, rates=Rates())).seconds is None
        assert told(card(gb, rates=Rates())).fit is Fit.FITS


def test_pictures_that_are_not_painted_together_are_told():
    assert Note.APART in told(card(16), side=2048, count=2).notes
    assert Note.APART not in told(card(24), side=1024, count=2).notes


def test_the_profile_is_heeded():
    low = told(card(24), wish=Wish(profile=Profile.LOW_RAM_LOW_VRAM))
    assert low.needed_bytes < 3 * GIB
    assert Note.READ_AGAIN in low.notes


@pytest.mark.parametrize(("gb", "note"), [(64, Note.READ_AGAIN), (5, Note.FROM_DISK)])
def test_only_what_every_step_reads_is_said_to_be(gb, note):
    budget = replace(card(0), device="cpu", device_bytes=gb * GIB)
    found = told(budget, wish=Wish(profile=Profile.LOW_RAM_LOW_VRAM))
    assert found.notes[0] is note


def test_a_model_on_the_disk_is_foretold(tiny_model):
    numbers = numbers_of(Precision.FP32, "cpu", None)
    host = Host(total_bytes=8 * GIB, available_bytes=4 * GIB)
    budget = budget_for("cpu", None, host, Rates())
    model = open_model(tiny_model)
    of, worker = sizes_of(model, numbers), footprint_of(model, numbers)
    found = forecast(work(64), of, worker, budget)
    assert found.fit is Fit.FITS
    assert PROGRAM_BYTES < found.needed_bytes < PROGRAM_BYTES + GIB // 8
    assert found.notes == ()


@pytest.mark.parametrize(
    ("precision", "device", "on", "bf16", "numbers"),
    [
        ("fp32", "cpu", None, False, (4, False)),
        ("int8", "cpu", None, False, (4, False)),
        ("int8", "cpu", None, True, (2, False)),
        ("bf16", "cpu", None, False, (2, False)),
        ("bf16", "cuda", AMPERE, False, (2, False)),
        ("int8", "cuda:1", AMPERE, False, (2, False)),
        ("int8", "cuda", TURING, True, (4, True)),
        ("fp16", "cuda", TURING, False, (4, True)),
        ("fp16", "cuda", AMPERE, False, (4, True)),
        ("int8", "mps", APPLE, False, (2, False)),
    ],
)
def test_numbers_lie_as_the_loader_lays_them(precision, device, on, bf16, numbers):
    item_bytes, half = numbers
    found = numbers_of(Precision(precision), device, on, has_bf16=bf16)
    assert found == Numbers(precision=Precision(precision), item_bytes=item_bytes, half=half)


def test_what_a_card_leaves_is_what_is_free_without_the_driver():
    assert device_budget(AMPERE, None) == 8 * GIB - CONTEXT_BYTES
    assert device_budget(replace(AMPERE, display=True), None) == 8 * GIB - DISPLAY_BYTES
    assert device_budget(AMPERE, 4.0) == 4 * GIB - CONTEXT_BYTES
    assert device_budget(AMPERE, 0.1) == 0
    assert device_budget(APPLE, None) == 6 * GIB


def test_a_budget_is_that_of_the_device():
    host = Host(total_bytes=16 * GIB, available_bytes=10 * GIB)
    cuda = budget_for("cuda", AMPERE, host, RTX_3060, 4.0)
    assert cuda.device_bytes + cuda.driver_bytes == 4 * GIB
    assert (cuda.host, cuda.rates) == (host, RTX_3060)
    assert budget_for("mps", APPLE, host, RTX_3060).driver_bytes == 0
    cpu = budget_for("cpu", None, host, RTX_3060, 4.0)
    assert cpu.device_bytes + cpu.driver_bytes == 9 * GIB
    assert cpu.driver_bytes == PROGRAM_BYTES
    assert budget_for("cpu", None, Host(), RTX_3060).device_bytes > 10**6 * GIB
