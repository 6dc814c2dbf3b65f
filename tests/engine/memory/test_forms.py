"""Faster forms of a block prove themselves, and leave without harm where they fail."""

from __future__ import annotations

import logging
import re

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from engine.memory import forms
from engine.memory.forms import CompiledForm, FusedForm
from engine.model.layers import plain
from engine.quant.linear import Int8Linear
from tests.engine.quant.plain_kernels import PlainKernels, make_block, make_inputs


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


class Clock:
    """A clock that stands still but for what is added to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """A clock by which the plain form takes ten seconds, and all else no time."""
    clock = Clock()

    def slowed(*inputs):
        clock.now += 10
        return plain(*inputs)

    monkeypatch.setattr(forms, "time", clock)
    monkeypatch.setattr(forms, "plain", slowed)
    return clock


class Wrong(PlainKernels):
    """Forgets the gate of the last token of a sequence."""

    def add(self, x, change, gate):
        super().add(x, change, gate)
        change[:, -1] = x[:, -1] + change[:, -1]


class NotANumber(PlainKernels):
    def add(self, x, change, gate):
        super().add(x, change, gate)
        change[0, 3] = float("nan")


class Raising(PlainKernels):
    """Fails as a compiler does, from the so many-th launch on."""

    def __init__(self, after: int = 0, error: Exception | None = None) -> None:
        super().__init__()
        self.after, self.error = after, error or AssertionError("no such layout\nat a place")

    def swiglu(self, w13, *, rounds):
        if len(self.launched) >= self.after:
            raise self.error
        return super().swiglu(w13, rounds=rounds)


def run(form, block, tokens=20):
    """Return what a form gives, and what the plain one does."""
    x, angles, modulation = make_inputs(1, tokens, 1)
    found = form(block, x, angles, None, modulation)
    return found, plain(block, x, angles, None, modulation)


@pytest.mark.parametrize("int8", [False, True], ids=["plain", "int8"])
def test_a_form_that_is_right_and_faster_is_taken(int8, clock):
    kernels = PlainKernels()
    form = FusedForm(kernels)
    block = make_block(int8=int8)
    run(form, block)
    kernels.launched.clear()
    found, right = run(form, block)
    assert "add_and_normalise" in kernels.launched
    assert (found - right).norm() <= 0.02 * right.norm()


@pytest.mark.parametrize(
    "kernels", [Wrong(), NotANumber(), Raising()], ids=lambda k: type(k).__name__
)
def test_a_form_that_is_wrong_or_fails_is_left_with_a_word(kernels, caplog, clock):
    form = FusedForm(kernels)
    block = make_block(int8=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            kernels.launched.clear()
            found, right = run(form, block)
            assert torch.equal(found, right)
    assert kernels.launched == []
    assert len(caplog.records) == 1


def in_float32(norm):
    return norm._replace(weight=norm.weight.float(), factor=norm.factor.float())


class RoundingOnce(PlainKernels):
    """Computes in float32 as a card's kernels do, and rounds what it stores."""

    def normalise(self, x, norm, *, rounds):
        whole = super().normalise(x.float(), in_float32(norm), rounds=rounds)
        return whole if rounds else whole._replace(values=whole.values.to(x.dtype))

    def add(self, x, change, gate):
        whole = change.float()
        super().add(x.float(), whole, in_float32(gate))
        change.copy_(whole)

    def add_and_normalise(self, x, change, gate, norm, *, rounds):
        self.add(x, change, gate)
        return self.normalise(change, norm, rounds=rounds)


@pytest.mark.parametrize("weight", [1.0, 0.005])
def test_a_block_that_adds_little_is_judged_by_what_it_adds(weight, clock):
    block = make_block(int8=False, dtype=torch.bfloat16)
    for norm in (block.attention_norm2, block.ffn_norm2):
        norm.weight.fill_(weight)
    x, angles, modulation = make_inputs(1, 20, 1, dtype=torch.bfloat16)
    for kernels, taken in ((RoundingOnce(), True), (Wrong(), False)):
        form = FusedForm(kernels)
        form(block, x, angles, None, modulation)
        kernels.launched.clear()
        form(block, x, angles, None, modulation)
        assert bool(kernels.launched) is taken


def test_a_form_that_is_slower_is_left(clock):
    class Slow(PlainKernels):
        def add(self, x, change, gate):
            clock.now += 11
            super().add(x, change, gate)

    kernels = Slow()
    form = FusedForm(kernels)
    block = make_block(int8=True)
    run(form, block)
    kernels.launched.clear()
    found, right = run(form, block)
    assert kernels.launched == []
    assert torch.equal(found, right)


def test_each_kind_of_block_is_judged_by_itself(clock):
    class WrongInInt8(PlainKernels):
        def multiply(self, tokens, weight, out):
            super().multiply(tokens, weight, out)
            out[0] *= -1

    kernels = WrongInInt8()
    form = FusedForm(kernels)
    int8, exact = make_block(int8=True), make_block(int8=False)
    for block in (int8, exact):
        run(form, block)
    for block in (int8, exact, int8):
        kernels.launched.clear()
        run(form, block)
        assert bool(kernels.launched) == (block is exact)


def test_what_fails_in_the_middle_of_a_job_leaves_the_job_whole(caplog, clock):
    kernels = Raising(after=10**6)
    form = FusedForm(kernels)
    block = make_block(int8=False)
    run(form, block)
    kernels.after = 0
    for _ in range(2):
        found, right = run(form, block)
        assert torch.equal(found, right)
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert messages == [
        "the fused form of blocks failed and is left out: AssertionError: no such layout at a place"
    ]


@pytest.mark.parametrize("after", [0, 10**6], ids=["at the proof", "later"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
    ids=["card", "host", "lost"],
)
def test_a_shortage_or_a_lost_card_is_passed_on(after, error, clock):
    kernels = Raising(after, error)
    form = FusedForm(kernels)
    block = make_block(int8=False)
    if after:
        run(form, block)
        kernels.after = 0
    with pytest.raises(type(error)):
        run(form, block)


def test_blocks_with_adapters_or_of_captions_stay_plain(clock):
    kernels = PlainKernels()
    form = FusedForm(kernels)
    block = make_block(int8=False)

    class Branched(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base

        def forward(self, x):
            return self.base(x)

    x, angles, _ = make_inputs(1, 20, 1)
    assert torch.equal(form(block, x, angles, None, None), plain(block, x, angles, None, None))
    block.attention.qkv = Branched(block.attention.qkv)
    found, right = run(form, block)
    assert torch.equal(found, right)
    assert kernels.launched == []


def test_weights_that_come_to_other_places_are_found(clock):
    form = FusedForm(PlainKernels())
    block, other = make_block(int8=True), make_block(int8=True)
    run(form, block)
    for mine, theirs in zip(block.modules(), other.modules(), strict=True):
        if isinstance(mine, Int8Linear):
            mine.prepared, mine.scales = theirs.prepared.clone(), theirs.scales.clone()
        for name, weight in theirs.named_parameters(recurse=False):
            setattr(mine, name, weight)
    x, angles, modulation = make_inputs(1, 20, 1)
    found = form(block, x, angles, None, modulation)
    right = plain(other, x, angles, None, modulation)
    assert (found - right).norm() <= 0.02 * right.norm()


def test_all_blocks_share_one_compiled_program():
    counter = CompileCounter()
    torch._dynamo.reset()
    form = CompiledForm(backend=counter)
    blocks = [make_block(int8=False) for _ in range(3)]
    for block in blocks:
        found, right = run(form, block, tokens=24)
        assert (found - right).norm() <= 0.02 * right.norm()
    assert counter.frame_count == 1


def test_captions_are_not_compiled():
    counter = CompileCounter()
    form = CompiledForm(backend=counter)
    block = make_block(int8=False)
    x, angles, _ = make_inputs(1, 20, 1)
    assert torch.equal(form(block, x, angles, None, None), plain(block, x, angles, None, None))
    assert counter.frame_count == 0


def test_a_compiler_that_fails_leaves_the_plain_form(caplog):
    def broken(graph, inputs):
        raise AssertionError("no compiler on this machine\nand a page of code")

    torch._dynamo.reset()
    form = CompiledForm(backend=broken)
    for _ in range(2):
        found, right = run(form, make_block(int8=False))
        assert torch.equal(found, right)
    (said,) = [r.getMessage() for r in caplog.records if "compiled form" in r.getMessage()]
    assert "no compiler on this machine" in said
    assert len(said.splitlines()) == 1


KERNELS = re.compile(
    r"^ +(?:\w+ = )?(?:cpp_fused\w+\(|extern_kernels\.\w+\(|torch\.ops\.aten\.)", re.M
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_block_takes_at_most_fourteen_launches():
    """Counted on the CPU: what the compiler fuses, and the products and attention it calls."""
    from torch._inductor.utils import run_and_get_code

    torch._dynamo.reset()
    block = make_block(int8=False, dtype=torch.bfloat16)
    x, angles, modulation = make_inputs(1, 64, 1, dtype=torch.bfloat16)
    form = CompiledForm()
    found, (code,) = run_and_get_code(form, block, x, angles, None, modulation)
    right = plain(block, x, angles, None, modulation)
    assert (found - right).norm() <= 0.05 * right.norm()
    launches = KERNELS.findall(code.split("def call(")[1])
    assert 10 <= len(launches) <= 14, launches
