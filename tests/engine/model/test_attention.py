"""Attention comes from the fastest kernel that computes right, and never from one that fails."""

from __future__ import annotations

import importlib.machinery
import logging
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from engine.model import attention
from engine.model.attention import (
    Checked,
    Trial,
    asked_for,
    attention_name,
    best,
    choose_attention,
    installed,
    sdpa,
)
from engine.settings import Attention

CPU = torch.device("cpu")
TRIAL = Trial(CPU, torch.float32, 16, (33, 64))


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return sdpa(q, k, v)


def raising(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise AssertionError("only head dimensions of 64")


class Clock:
    """A clock that stands still but for what is added to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: float, attend=sdpa):
        def timed(q, k, v):
            self.now += seconds
            return attend(q, k, v)

        return timed


@pytest.fixture
def clock(monkeypatch):
    """A clock by which PyTorch's own kernel takes ten seconds, and any other what it says."""
    clock = Clock()
    monkeypatch.setattr(attention, "time", clock)
    monkeypatch.setattr(attention, "sdpa", clock.taking(10))
    return clock


def test_the_fastest_kernel_is_taken(clock):
    kernels = [Checked(f"takes {t}", clock.taking(t)) for t in (8, 5, 7)]
    assert attention_name(best(kernels, TRIAL)) == "takes 5"


def test_a_kernel_that_is_hardly_faster_is_not_taken(clock):
    assert attention_name(best([Checked("hardly", clock.taking(9.5))], TRIAL)) == "SDPA"
    assert attention_name(best([Checked("clearly", clock.taking(8.9))], TRIAL)) == "clearly"


def test_kernels_are_tried_at_an_odd_length_and_timed_at_that_of_a_large_picture():
    lengths = Trial(CPU, torch.float32, 16).lengths
    assert any(length % 2 for length in lengths)
    assert lengths[-1] == 4224


FAULTS = {
    "ten per cent off": lambda out, odd: 1.1 * out,
    "wrong at odd lengths": lambda out, odd: 1.1 * out if odd else out,
    "not a number": lambda out, odd: out * float("nan"),
    "another layout": lambda out, odd: out.transpose(1, 2),
    "another type of error": lambda out, odd: raising(out, out, out),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_kernel_that_computes_wrongly_or_fails_is_not_taken_however_fast(fault, clock):
    def faulty(q, k, v):
        return fault(sdpa(q, k, v), q.shape[1] % 2 == 1)

    assert attention_name(best([Checked("faulty", faulty)], TRIAL)) == "SDPA"


def test_a_kernel_that_fails_later_is_left_and_the_result_is_right(caplog):
    kernel = Checked("fragile", raising)
    assert attention_name(kernel) == "fragile"
    q, k, v = TRIAL.draw(33)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(kernel(q, k, v), sdpa(q, k, v))
        assert torch.equal(kernel(q, k, v), sdpa(q, k, v))
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == ["fragile"]
    assert attention_name(kernel) == "SDPA"


def test_a_shortage_of_memory_is_not_hidden():
    def greedy(q, k, v):
        raise torch.OutOfMemoryError("CUDA out of memory")

    kernel = Checked("greedy", greedy)
    with pytest.raises(torch.OutOfMemoryError):
        kernel(*TRIAL.draw(33))
    assert attention_name(kernel) == "greedy"
    with pytest.raises(torch.OutOfMemoryError):
        best([kernel], TRIAL)


@pytest.fixture
def package(monkeypatch):
    """Install a module of a name that has a function; nothing but the name is real."""

    def install(name: str, function_name: str, function) -> None:
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        if function is not None:
            setattr(module, function_name, function)
        monkeypatch.setitem(sys.modules, name, module)

    return install


def names(*, is_base: bool) -> list[str]:
    return [kernel.name for kernel in installed(is_base=is_base)]


def test_nothing_is_offered_that_is_not_installed():
    assert names(is_base=False) == []


def test_what_is_installed_is_offered(package):
    package("flash_attn", "flash_attn_func", right)
    package("flash_attn_interface", "flash_attn_func", right)
    package("sageattention", "sageattn", right)
    assert names(is_base=False) == [
        "FlashAttention 3", "FlashAttention 2", "SageAttention (approximate)",
    ]  # fmt: skip


def test_sage_is_never_offered_to_a_base_model(package):
    package("sageattention", "sageattn", right)
    assert names(is_base=True) == []


def test_a_package_without_its_function_is_left_out(package, caplog):
    package("flash_attn", "flash_attn_func", None)
    assert names(is_base=False) == []
    assert "FlashAttention 2 is installed but does not load" in caplog.text


def test_a_package_is_called_in_its_layout_and_may_return_a_pair(package):
    seen = {}

    def sageattn(q, k, v, tensor_layout):
        seen.update(layout=tensor_layout, shape=tuple(q.shape))
        return sdpa(q, k, v), torch.zeros(1)

    package("sageattention", "sageattn", sageattn)
    (kernel,) = installed(is_base=False)
    q, k, v = TRIAL.draw(33)
    assert torch.equal(kernel(q, k, v), sdpa(q, k, v))
    assert seen == {"layout": "NHD", "shape": (1, 33, 8, 16)}


@pytest.mark.parametrize(("bound", "name"), [(1e-2, "SDPA"), (5e-2, "rough")])
def test_an_approximate_kernel_may_be_off_by_more_than_an_exact_one(bound, name, clock):
    def rough(q, k, v):
        return 1.02 * sdpa(q, k, v)

    assert attention_name(best([Checked("rough", rough, bound)], TRIAL)) == name


def test_other_devices_and_number_types_use_what_pytorch_has(package):
    package("flash_attn", "flash_attn_func", right)
    assert choose_attention(CPU, torch.bfloat16, 128, is_base=False) is sdpa
    card = torch.device("cuda")
    assert choose_attention(card, torch.float32, 128, is_base=False) is sdpa


KERNELS = {
    Attention.CUDNN: "SDPA, cuDNN",
    Attention.FLASH: "FlashAttention 2",
    Attention.SAGE: "SageAttention (approximate)",
}


@pytest.mark.parametrize("wanted", KERNELS)
def test_the_kernel_that_is_asked_for_is_taken_at_any_speed(wanted, clock):
    kernels = [Checked(name, clock.taking(20)) for name in KERNELS.values()]
    assert attention_name(asked_for(wanted, kernels, TRIAL)) == KERNELS[wanted]


@pytest.mark.parametrize("wanted", KERNELS)
def test_one_that_is_not_there_or_computes_wrongly_leaves_pytorchs_own(wanted, caplog):
    wrong = [Checked(name, lambda q, k, v: 2 * sdpa(q, k, v)) for name in KERNELS.values()]
    others = [Checked(name, right) for kind, name in KERNELS.items() if kind is not wanted]
    with caplog.at_level(logging.WARNING):
        assert asked_for(wanted, wrong, TRIAL) is sdpa
        assert asked_for(wanted, others, TRIAL) is sdpa
    assert "is not to be had here" in caplog.text


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_choice_of_a_card_agrees_with_pytorch_at_every_length(dtype):
    card = torch.device("cuda")
    chosen = choose_attention(card, dtype, 128, is_base=True)
    for length in (32, 77, 1152, 4224):
        q, k, v = Trial(card, dtype, 128).draw(length)
        found, expected = chosen(q, k, v).float(), sdpa(q, k, v).float()
        assert (found - expected).norm() <= 1e-2 * expected.norm()
