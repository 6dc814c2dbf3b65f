"""What a machine is measured to do: once, quickly, and within what can be."""

from __future__ import annotations

import json
import time

import pytest
import torch

from engine.errors import DiskError
from engine.hardware import Rates
from engine.memory import machine_file, rates
from engine.memory.machine_file import FILE
from engine.memory.rates import known_rates, measured_rates

QUICK = Rates(operations={"fp32": 5e10})


@pytest.fixture
def measured(monkeypatch):
    """Stand in for the measurement; the list holds the devices that were measured."""
    seen = []

    def measure(device):
        seen.append(device.type)
        return QUICK

    monkeypatch.setattr(rates, "_measure", measure)
    return seen


def test_a_machine_is_measured_once(data_folder, measured):
    assert known_rates("cpu", data_folder) == Rates()
    assert measured_rates("cpu", data_folder) == QUICK
    assert measured_rates("cpu", data_folder) == known_rates("cpu", data_folder) == QUICK
    assert measured == ["cpu"]


def test_a_machine_is_measured_anew_when_asked(data_folder, measured):
    measured_rates("cpu", data_folder)
    assert measured_rates("cpu", data_folder, anew=True) == QUICK
    assert measured == ["cpu", "cpu"]


def test_another_release_of_pytorch_is_measured_anew(data_folder, measured, monkeypatch):
    measured_rates("cpu", data_folder)
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    assert known_rates("cpu", data_folder) == Rates()
    measured_rates("cpu", data_folder)
    assert len(measured) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"operations": {"fp32": 1e30}},
        {"operations": {"fp32": -1.0}},
        {"operations": {"fp32": True}},
        {"operations": {"fp32": "fast"}},
        {"operations": {"fp64": 1e12}},
        {"operations": [1e12]},
        {"link": 1e10, "disk": 1e9},
    ],
)
def test_what_cannot_be_is_measured_anew(data_folder, measured, values):
    machine_file.keep(data_folder, rates.identity("cpu"), rates.KEPT, values)
    assert measured_rates("cpu", data_folder) == QUICK
    assert measured == ["cpu"]


@pytest.mark.parametrize("values", [{"link": 5.0}, {"link": 1e20}, {"disk": "x"}, {"disk": 1e20}])
def test_a_speed_that_cannot_be_is_unknown(data_folder, values):
    kept = {"operations": {"fp32": 5e10}, **values}
    machine_file.keep(data_folder, rates.identity("cpu"), rates.KEPT, kept)
    assert known_rates("cpu", data_folder) == QUICK


def test_a_damaged_file_is_measured_anew_and_mended(data_folder, measured):
    (data_folder / FILE).write_bytes(b"\x00\xff{")
    assert measured_rates("cpu", data_folder) == QUICK
    assert json.loads((data_folder / FILE).read_text())["devices"]


def test_a_folder_that_cannot_be_written_costs_only_the_memory(data_folder, measured, monkeypatch):
    def full(*_):
        raise DiskError("The disk is full.")

    monkeypatch.setattr(machine_file, "keep", full)
    assert measured_rates("cpu", data_folder) == QUICK


def test_the_disk_is_measured_when_there_is_a_model_to_read(data_folder, measured, monkeypatch):
    monkeypatch.setattr(rates, "disk_rate", lambda _: 2e9)
    assert measured_rates("cpu", data_folder).disk == 0.0
    searched = []
    monkeypatch.setattr(rates, "sample", lambda *folders: searched.append(folders) or data_folder)
    assert measured_rates("cpu", data_folder, data_folder / "x").disk == 2e9
    assert searched == [(data_folder / "x", data_folder / "models")]
    assert known_rates("cpu", data_folder).disk == 2e9
    assert measured == ["cpu"]


def test_this_processor_is_measured_within_three_seconds(data_folder):
    began = time.process_time()
    found = measured_rates("cpu", data_folder)
    assert time.process_time() - began < 3 * torch.get_num_threads()
    assert {"fp32", "int8"} <= set(found.operations)
    assert all(1e8 < rate < 1e15 for rate in found.operations.values())
    assert found.link == 0.0


def test_a_product_that_is_not_to_be_had_is_unknown():
    def make(*_):
        raise RuntimeError("not implemented for 'Half'")

    assert rates._trial(make, rates._Size((2, 4), 8), torch.device("cpu")) == 0.0


def test_a_slow_product_is_not_tried_on_more_tokens(monkeypatch):
    tried = []

    def make(tokens, width, device):
        tried.append(tokens)
        return lambda: None

    size, cpu = rates._Size((32, 256), 1000), torch.device("cpu")
    monkeypatch.setattr(rates, "_best_seconds", lambda *_: 0.5)
    assert rates._trial(make, size, cpu) == pytest.approx(2 * 32 * 1e6 / 0.5)
    monkeypatch.setattr(rates, "_best_seconds", lambda *_: 0.001)
    assert rates._trial(make, size, cpu) == pytest.approx(2 * 256 * 1e6 / 0.001)
    assert tried == [32, 32, 256]


class Card:
    """A card whose copies take 8 ms each by a clock of its own."""

    def __init__(self, *, locks=True, full=False):
        self.locks, self.full, self.now, self.locked = locks, full, 0.0, []

    def perf_counter(self):
        return self.now

    def lock(self, memory):
        self.locked += [memory.data_ptr()] * self.locks
        return self.locks

    def unlock(self, memory):
        self.locked.remove(memory.data_ptr())

    def allocate(self, size):
        if self.full:
            raise torch.OutOfMemoryError
        return torch.empty(size, dtype=torch.uint8)

    def copy(self, target, source):
        assert self.locked == [source.data_ptr()]
        assert target.nbytes == source.nbytes == 1 << 20
        self.now += 0.004

    def finish(self):
        self.now += 0.004


@pytest.fixture
def link(monkeypatch):
    """Measure the link of a card of this kind."""

    def measure(card):
        monkeypatch.setattr(rates, "time", card)
        monkeypatch.setattr(rates, "LINK_BYTES", 1 << 20)
        return rates.link_rate(card)

    return measure


def test_the_link_is_measured_from_locked_pages_that_are_unlocked_again(link):
    card = Card()
    assert link(card) == pytest.approx((1 << 20) / 0.008)
    assert card.locked == []


def test_pages_that_cannot_be_locked_leave_the_link_unknown(link):
    assert link(Card(locks=False)) == 0.0


def test_a_full_card_leaves_the_link_unknown_and_no_page_locked(link):
    card = Card(full=True)
    assert link(card) == 0.0
    assert card.locked == []


@pytest.mark.gpu
def test_the_card_of_this_machine_is_measured(data_folder):
    found = measured_rates("cuda", data_folder)
    assert found.link > 1e9
    assert {"fp32", "fp16", "int8"} <= set(found.operations)
    assert found.operations["fp16"] > found.operations["fp32"] / 2
