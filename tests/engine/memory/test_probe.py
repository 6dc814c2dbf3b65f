"""Cards, and what torch may take of them, on machines made up for the test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch._utils import _get_device_index

from engine.hardware import Card, Hardware, Host
from engine.memory import probe
from engine.memory.budget import CONTEXT_BYTES, DISPLAY_BYTES, device_budget
from engine.memory.probe import card_now
from engine.memory.work import GIB
from engine.setup.live import CardState

UUID = "3f1b0e5c-7f4e-0a5d-9a3c-0123456789ab"
LAPTOP = SimpleNamespace(name="Laptop", major=8, minor=6, total_memory=8 * GIB, uuid=UUID.upper())
SERVER = SimpleNamespace(name="Server", major=9, minor=0, total_memory=80 * GIB)


class Driver:
    """What torch.cuda says, with one card; `woken` counts how often a context was needed."""

    def __init__(self, facts, free, reserved=0):
        self.facts, self.free, self.reserved, self.woken = facts, free, reserved, 0

    def mem_get_info(self, number):
        self.woken += 1
        return self.free, self.facts.total_memory


@pytest.fixture
def machine(monkeypatch):
    """Give this process a card, and nvidia-smi an answer."""

    def make(driver, states=(), hip=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: driver.facts)
        monkeypatch.setattr(torch.cuda, "mem_get_info", driver.mem_get_info)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: driver.reserved)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(probe, "card_states", lambda: dict(states))
        monkeypatch.setattr(probe, "host", lambda: Host(available_bytes=10 * GIB))
        return probe.hardware()

    monkeypatch.setattr(probe, "_is_windows", lambda: False)
    return make


def state(free=None, display=None):
    return {UUID: CardState(free_bytes=free, display=display)}


def card(**values):
    small = {"name": "", "capability": (8, 6), "total_bytes": 8 * GIB, "free_bytes": 7 * GIB}
    return Card(**{**small, **values})


def test_a_card_is_described_by_its_driver_without_being_woken(machine):
    driver = Driver(LAPTOP, free=0)
    found = machine(driver, state(5 * GIB, display=False))
    assert found.cards == (
        Card(name="Laptop", capability=(8, 6), total_bytes=8 * GIB, free_bytes=5 * GIB),
    )
    assert found.cuda == ((8, 6),)
    assert (driver.woken, found.host.available_bytes) == (0, 10 * GIB)


def test_a_card_that_nvidia_smi_is_silent_about_is_asked_itself(machine):
    driver = Driver(SERVER, free=70 * GIB, reserved=GIB)
    (found,) = machine(driver).cards
    assert (found.free_bytes, driver.woken) == (71 * GIB + CONTEXT_BYTES, 1)


def test_before_any_work_room_is_left_for_what_libraries_will_take(machine):
    before = card_now("cuda", machine(Driver(SERVER, free=70 * GIB)))
    after = card_now("cuda", machine(Driver(SERVER, free=60 * GIB, reserved=10 * GIB)))
    assert before.free_bytes == 70 * GIB + CONTEXT_BYTES // 2
    assert after.free_bytes == 70 * GIB + CONTEXT_BYTES


def test_what_this_process_holds_counts_as_free(machine):
    driver = Driver(LAPTOP, free=0, reserved=2 * GIB)
    (found,) = machine(driver, state(3 * GIB, display=False)).cards
    assert found.free_bytes == 5 * GIB + CONTEXT_BYTES


def test_no_card_has_more_free_than_it_has(machine):
    driver = Driver(LAPTOP, free=8 * GIB)
    (asked,) = machine(driver, state(9 * GIB)).cards
    (woken,) = machine(driver).cards
    assert asked.free_bytes == woken.free_bytes == 8 * GIB


@pytest.mark.parametrize(
    ("facts", "told", "display"),
    [
        (LAPTOP, True, True),
        (LAPTOP, False, False),
        (LAPTOP, None, True),
        (SERVER, None, False),
    ],
)
def test_a_screen_is_believed_or_guessed_from_the_size(machine, facts, told, display):
    states = state(display=told) if told is not None else {}
    assert machine(Driver(facts, free=0), states).cards[0].display is display


def test_on_windows_every_card_has_a_screen(machine, monkeypatch):
    monkeypatch.setattr(probe, "_is_windows", lambda: True)
    assert machine(Driver(LAPTOP, free=0), state(display=False)).cards[0].display


def test_linux_below_windows_is_windows(monkeypatch):
    assert probe._is_windows() == (probe.sys.platform == "win32")
    monkeypatch.setattr(probe.platform, "release", lambda: "5.15.167.4-microsoft-standard-WSL2")
    assert probe._is_windows()


def test_amds_cards_are_named_as_such_and_nvidia_is_not_asked(machine, monkeypatch):
    def never():
        raise AssertionError("nvidia-smi was asked")

    driver = Driver(SERVER, free=70 * GIB)
    machine(driver)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(probe, "card_states", never)
    assert probe.hardware().cards[0].kind == "rocm"


def test_the_free_memory_of_now_is_asked_of_the_driver(machine):
    driver = Driver(LAPTOP, free=4 * GIB, reserved=GIB)
    found = machine(driver, state(7 * GIB, display=True))
    now = card_now("cuda:0", found)
    assert now.free_bytes == 5 * GIB + CONTEXT_BYTES
    assert (now.name, now.display) == ("Laptop", True)


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:1", 1)])
@pytest.mark.parametrize(("vram_gb", "share"), [(None, 1.0), (4.0, 0.5), (99.0, 1.0)])
def test_a_card_is_limited_by_its_number(monkeypatch, device, number, vram_gb, share):
    asked = []

    def limited(share, device):
        # As torch does: a card without a number in its name is refused.
        asked.append((share, _get_device_index(device)))

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB, 8 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limited)
    assert probe.limit(device, vram_gb)
    assert asked == [(share, number)]


def test_the_processor_is_no_card():
    assert card_now("cpu", Hardware()) is None


def test_apples_gpu_shares_the_computers_memory(monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GIB, raising=False)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: GIB, raising=False)
    monkeypatch.setattr(probe, "host", lambda: Host(available_bytes=5 * GIB))
    apple = card_now("mps", Hardware(mps=True))
    assert (apple.kind, apple.total_bytes, apple.free_bytes) == ("mps", 12 * GIB, 6 * GIB)
    assert device_budget(apple, None) == 6 * GIB


@pytest.mark.parametrize(
    ("changes", "vram_gb", "budget"),
    [
        ({}, None, 7 * GIB - CONTEXT_BYTES),
        ({"display": True}, None, 7 * GIB - DISPLAY_BYTES),
        ({}, 4.0, 4 * GIB - CONTEXT_BYTES),
        ({"display": True}, 4.0, 4 * GIB - CONTEXT_BYTES),
        ({"display": True}, 7.5, 7 * GIB - DISPLAY_BYTES),
        ({"kind": "mps"}, 4.0, 4 * GIB),
        ({"free_bytes": 100}, None, 0),
        ({}, 0.1, 0),
    ],
)
def test_the_budget_leaves_room_for_the_driver_and_the_screen(changes, vram_gb, budget):
    assert device_budget(card(**changes), vram_gb) == budget


def test_a_machine_without_a_card_has_none():
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    found = probe.hardware()
    assert found.cards == ()
    assert found.host.total_bytes > 0


@pytest.mark.gpu
def test_the_card_of_this_machine_is_known():
    found = probe.hardware()
    assert all(0 < c.free_bytes <= c.total_bytes for c in found.cards)
    now = card_now("cuda", found)
    assert abs(now.free_bytes - found.cards[0].free_bytes) < GIB
    block = torch.empty(GIB, dtype=torch.uint8, device="cuda")
    assert abs(card_now("cuda", found).free_bytes - now.free_bytes) < GIB // 2
    del block


def test_memory_of_the_computer_that_this_process_holds_counts_as_free(monkeypatch):
    monkeypatch.setattr(probe, "host", lambda: Host(total_bytes=8 * GIB, available_bytes=2 * GIB))
    monkeypatch.setattr(probe, "anonymous_gib", lambda: 3.0)
    assert probe.host_now().available_bytes == 5 * GIB


def test_memory_that_is_not_known_stays_so(monkeypatch):
    monkeypatch.setattr(probe, "host", Host)
    assert probe.host_now() == Host()
