"""A slab holds a module's tensors in one piece, each where kernels like it, and nothing else."""

from __future__ import annotations

import gc
import mmap

import pytest
import torch
from torch import nn

from engine.memory.pieces import ALIGNMENT
from engine.memory.slab import Pages, Slab, lay_out, tensors_of
from tests.engine.memory.fake_device import FakeDevice, Shelf


class Sketch(nn.Module):
    """A module with tensors of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3, dtype=torch.bfloat16)
        self.conv = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
        self.register_buffer("scalar", torch.tensor(2.5))
        self.register_buffer("absent", None)
        self.modulation = nn.Linear(7, 7)


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(module: nn.Module, expected: dict[str, torch.Tensor]) -> bool:
    found = module.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.fixture
def sketch() -> Sketch:
    return Sketch().requires_grad_(False)


@pytest.fixture
def slab(sketch) -> Slab:
    found = Slab("sketch", lay_out(tensors_of(sketch)))
    found.pack(None)
    return found


def test_tensors_are_packed_without_their_values_changing(sketch):
    before = values(sketch)
    slab = Slab("sketch", lay_out(tensors_of(sketch)))
    slab.pack(None)
    assert same(sketch, before)
    assert slab.bytes == 5 * ALIGNMENT + 3 * ALIGNMENT
    assert all(cell.offset % ALIGNMENT == 0 for cell in slab.cells)
    inside = range(slab.memory.data_ptr(), slab.memory.data_ptr() + slab.bytes)
    for owner, _, leaf, tensor in tensors_of(sketch):
        assert tensor.data_ptr() in inside, (owner, leaf)


def test_the_order_of_axes_in_memory_stays(sketch, slab):
    assert sketch.conv.weight.is_contiguous(memory_format=torch.channels_last)
    copy = slab.memory.clone()
    for table, leaf, tensor in slab.settings(copy):
        table[leaf] = tensor
    assert sketch.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_what_is_a_piece_of_its_own_stays_out(sketch, slab):
    owners = {cell.owner for cell in slab.cells}
    assert sketch.modulation not in owners
    assert sketch.linear in owners


def test_a_copy_serves_the_module_as_well(sketch, slab):
    before, copy = values(sketch), slab.memory.clone()
    slab.memory.zero_()
    assert not same(sketch, before)
    for table, leaf, tensor in slab.settings(copy):
        table[leaf] = tensor
    assert same(sketch, before)
    assert isinstance(sketch.linear.weight, nn.Parameter)
    assert not isinstance(sketch.scalar, nn.Parameter)
    slab.rest()
    assert not same(sketch, before)


def test_pages_begin_where_the_system_s_do_and_go_when_nobody_uses_them():
    pages = Pages(100_000)
    assert pages.memory.data_ptr() % mmap.PAGESIZE == 0
    assert len(pages.memory) == 100_000
    assert not pages.locked


def test_locked_pages_are_unlocked_once_however_they_end():
    device = FakeDevice()
    first, second = Pages(100, device), Pages(100, device)
    assert first.locked
    assert len(device.locked) == 2
    first.release()
    first.release()
    assert len(device.locked) == 1
    del second
    gc.collect()
    assert device.locked == set()


def test_a_slab_whose_pages_cannot_be_locked_lies_in_ordinary_memory(sketch):
    slab = Slab("sketch", lay_out(tensors_of(sketch)))
    slab.pack(FakeDevice(locks=False))
    assert not slab.locked
    filled = torch.zeros(slab.bytes, dtype=torch.uint8)
    slab.fill(filled)
    assert torch.equal(filled, slab.memory)


@pytest.mark.parametrize("filed", [False, True])
def test_what_is_put_beside_the_module_becomes_the_tail_and_goes_again(sketch, slab, filed):
    shelf, before, own = Shelf(), values(sketch), slab.bytes
    if filed:
        shelf.put(slab)
    with slab.lend(sketch.linear):
        kept = sketch.linear.bias
    sketch.more = nn.Linear(8, 8).requires_grad_(False)
    sketch.linear.bias = nn.Parameter(torch.ones(3, dtype=torch.bfloat16), requires_grad=False)
    expected = before | {f"more.{name}": tensor for name, tensor in values(sketch.more).items()}
    expected["linear.bias"] = sketch.linear.bias.clone()
    assert slab.repack(sketch)
    assert slab.bytes == own + 3 * ALIGNMENT
    filled = torch.zeros(slab.bytes, dtype=torch.uint8)
    slab.fill(filled)
    for table, leaf, tensor in slab.settings(filled):
        table[leaf] = tensor
    assert same(sketch, expected)
    slab.rest()
    del sketch.more
    sketch.linear.bias = kept
    assert slab.repack(sketch)
    assert slab.bytes == own
    filled = torch.zeros(own, dtype=torch.uint8)
    slab.fill(filled)
    for table, leaf, tensor in slab.settings(filled):
        table[leaf] = tensor
    assert same(sketch, before)
    slab.rest()
    assert not slab.repack(sketch)


def test_what_moves_within_the_tail_keeps_its_values(sketch, slab):
    def plain() -> nn.Linear:
        return nn.Linear(8, 8, bias=False).requires_grad_(False)

    sketch.first, sketch.second = plain(), plain()
    expected = sketch.first.weight.clone()
    slab.repack(sketch)
    kept = sketch.first
    del sketch.first, sketch.second
    sketch.newer, sketch.older = plain(), kept
    newer = sketch.newer.weight.clone()
    slab.repack(sketch)
    assert torch.equal(sketch.older.weight, expected)
    assert torch.equal(sketch.newer.weight, newer)


def test_a_tail_keeps_pages_locked_and_gives_the_others_back(sketch):
    device = FakeDevice()
    slab = Slab("sketch", lay_out(tensors_of(sketch)))
    slab.pack(device)
    sketch.more = nn.Linear(9, 9)
    slab.repack(sketch)
    assert device.locked == {slab.memory.data_ptr()}
    assert slab.locked
    slab.close()
    assert device.locked == set()


def test_a_module_in_a_file_is_lent_its_tensors_for_a_while(sketch, slab):
    before, shelf = values(sketch), Shelf()
    shelf.put(slab)
    assert sketch.linear.weight.device.type == "meta"
    with slab.lend(sketch.linear):
        assert torch.equal(sketch.linear.weight, before["linear.weight"])
        assert sketch.conv.weight.device.type == "meta"
    assert sketch.linear.weight.device.type == "meta"
