"""A device copies beside its computing only where that was seen to come out right."""

from __future__ import annotations

import pytest
import torch

from engine.memory import accelerator as accelerator_module
from engine.memory.accelerator import Cuda, Plain, accelerator_for, copies_right, mapped
from engine.memory.pieces import Tour
from engine.memory.ring import Ring
from tests.engine.memory.fake_device import FakeDevice, Tagged, slab_of

CPU = torch.device("cpu")
MIB = 1 << 20


@pytest.fixture
def card() -> Cuda:
    return Cuda(torch.device("cuda"))


def test_what_computes_on_the_cpu_is_copied_to_in_place():
    device = accelerator_for(CPU)
    assert isinstance(device, Plain)
    assert device.in_host
    assert not device.lock(mapped(100))
    assert copies_right(device)


def test_a_card_without_streams_of_its_own_is_copied_to_in_turn(monkeypatch):
    def fail(device: torch.device) -> Cuda:
        raise RuntimeError("no streams")

    monkeypatch.setattr(accelerator_module, "Cuda", fail)
    assert isinstance(accelerator_for(torch.device("cuda")), Plain)


def test_a_card_that_copies_wrongly_is_copied_to_in_turn(monkeypatch):
    class Hasty(Plain):
        def __init__(self, device: torch.device) -> None:
            super().__init__(CPU)

        def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
            target[:-1].copy_(source[:-1])

    monkeypatch.setattr(accelerator_module, "Cuda", Hasty)
    found = accelerator_for(torch.device("cuda"))
    assert type(found) is Plain


@pytest.mark.parametrize("seed", range(3))
def test_the_proof_passes_on_a_device_whose_streams_run_at_random(seed, monkeypatch):
    monkeypatch.setattr(accelerator_module, "_PROOF_BYTES", 64)
    device = FakeDevice(seed)
    sums = []

    class Lazy(torch.Tensor):
        """Memory of the device, whose sums are taken when the device gets there."""

        def sum(self, dtype: torch.dtype) -> torch.Tensor:
            found = torch.zeros((), dtype=dtype)

            def take():
                found.fill_(torch.Tensor.sum(self.as_subclass(torch.Tensor), dtype=dtype))
                yield True

            device.ask(False, take())
            sums.append(found)
            return found

    allocate = device.allocate
    monkeypatch.setattr(device, "allocate", lambda size: allocate(size).as_subclass(Lazy))
    assert copies_right(device)
    assert len(sums) == 8
    assert device.locked == set()


@pytest.mark.gpu
def test_a_card_copies_beside_its_computing(card):
    assert copies_right(card)
    assert isinstance(accelerator_for(torch.device("cuda")), Cuda)


@pytest.mark.gpu
def test_locked_pages_are_known_to_torch_and_unlocked_again(card):
    memory = mapped(3 * MIB)
    assert card.lock(memory)
    assert memory.is_pinned()
    card.unlock(memory)
    assert not memory.is_pinned()


@pytest.mark.gpu
def test_pages_that_cannot_be_locked_leave_the_card_fit_for_work(card):
    memory = mapped(MIB)
    assert card.lock(memory)
    assert not card.lock(memory)
    assert torch.ones(8, device="cuda").sum().item() == 8
    card.unlock(memory)


@pytest.mark.gpu
@pytest.mark.parametrize("locks", [True, False])
def test_a_ring_on_a_card_gives_modules_their_own_weights_without_allocating(card, locks):
    slabs, modules = [], []
    for number in range(6):
        module = Tagged(number + 1, 4 * MIB)
        slab = slab_of(module, str(number))
        slab.pack(card if locks else None)
        slabs.append(slab)
        modules.append(module)
    ring = Ring(card, 2, 0)
    ring.lay({Tour.DENOISE: slabs}, {})
    sums = torch.zeros(30, dtype=torch.int64, device="cuda")
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["num_alloc_retries"], torch.cuda.memory_reserved()
    with torch.inference_mode(), ring.visiting(Tour.DENOISE, 5):
        for visit in range(30):
            ring.enter([slabs[visit % 6]])
            sums[visit] = modules[visit % 6].weight.max().long()
            ring.leave([slabs[visit % 6]])
    assert sums.tolist() == [visit % 6 + 1 for visit in range(30)]
    reserved = torch.cuda.memory_stats()["num_alloc_retries"], torch.cuda.memory_reserved()
    assert reserved[0] == before[0]
    assert reserved[1] - before[1] <= 4 * MIB
    ring.close()
    for slab in slabs:
        slab.close()


@pytest.mark.gpu
def test_the_host_runs_ahead_of_the_card_while_slabs_come_and_go(card):
    """The loop ends long before the card does: nothing in it waits for the device."""
    slabs, modules = [], []
    for number in range(4):
        module = Tagged(number, 64 * MIB)
        slabs.append(slab_of(module, str(number)))
        slabs[-1].pack(card)
        modules.append(module)
    ring = Ring(card, 2, 0)
    ring.lay({Tour.DENOISE: slabs}, {})
    torch.cuda.synchronize()
    with torch.inference_mode(), ring.visiting(Tour.DENOISE, 8):
        for visit in range(32):
            ring.enter([slabs[visit % 4]])
            modules[visit % 4].weight.sum()
            ring.leave([slabs[visit % 4]])
        done = torch.cuda.Event()
        done.record()
        assert not done.query()
    ring.close()
    for slab in slabs:
        slab.close()
