"""The numbers of each form against its formula, on shapes where rounding cannot hide a mistake."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine.lora.deltas import Full, Kron, Low, delta_of, read_raw
from engine.lora.file import Change
from engine.lora.forms import Form


def raw(**shapes):
    return {role: torch.randn(*shape) for role, shape in shapes.items()}


def close(found, expected):
    return torch.allclose(found.matrix(), expected, rtol=1e-5, atol=1e-5)


def test_a_lora_is_up_times_down():
    t = raw(up=(6, 2), down=(2, 5))
    assert close(delta_of(Form.LORA, t), torch.einsum("nr,rk->nk", t["up"], t["down"]))


def test_a_loha_is_two_products_elementwise():
    t = raw(hada_w1_a=(40, 2), hada_w1_b=(2, 50), hada_w2_a=(40, 3), hada_w2_b=(3, 50))
    expected = torch.einsum("nr,rk,ns,sk->nk", *t.values())
    found = delta_of(Form.LOHA, t)
    assert close(found, expected)
    assert isinstance(found, Low)
    assert found.up.shape[1] == 6


@pytest.mark.parametrize(("rank", "kind"), [(4, Low), (5, Full)])
def test_a_loha_never_takes_more_room_than_its_matrix(rank, kind):
    t = raw(hada_w1_a=(40, rank), hada_w1_b=(rank, 40), hada_w2_a=(40, rank), hada_w2_b=(rank, 40))
    assert isinstance(delta_of(Form.LOHA, t), kind)


def test_a_loha_with_cores_is_two_triple_products():
    t = raw(hada_w1_a=(2, 6), hada_w1_b=(2, 5), hada_t1=(2, 2))
    t |= raw(hada_w2_a=(3, 6), hada_w2_b=(3, 5), hada_t2=(3, 3))
    sides = [
        torch.einsum("ij,ip,jr->pr", t[f"hada_t{i}"], t[f"hada_w{i}_a"], t[f"hada_w{i}_b"])
        for i in (1, 2)
    ]
    assert close(delta_of(Form.LOHA, t), sides[0] * sides[1])


def test_a_lokr_is_a_kronecker_product_and_stays_one():
    t = raw(lokr_w1=(2, 3), lokr_w2_a=(4, 2), lokr_w2_b=(2, 5))
    found = delta_of(Form.LOKR, t)
    expected = torch.einsum("ab,cr,rd->acbd", *t.values()).reshape(8, 15)
    assert close(found, expected)
    assert isinstance(found, Kron)


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("form", ["low", "full", "kron"])
def test_scaling_a_change_scales_its_matrix(form, axis):
    delta = {
        "low": Low(torch.randn(8, 2), torch.randn(2, 15)),
        "full": Full(torch.randn(8, 15)),
        "kron": Kron(torch.randn(2, 3), torch.randn(4, 5)),
    }[form]
    factor = torch.randn(8, 1) if axis == "rows" else torch.randn(1, 15)
    assert close(delta.scaled(factor), delta.matrix() * factor)


class Narrow(TorchDispatchMode):
    """The device `meta` as one that can hold float32 alone."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **kwargs or {})
        if isinstance(result, torch.Tensor) and result.is_meta and result.dtype != torch.float32:
            raise TypeError(f"no {result.dtype} on this device")
        return result


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float64, torch.bfloat16])
def test_a_device_is_given_float32_alone(dtype):
    stored = torch.ones(4, 4).to(dtype)
    change = Change(module="x", form=Form.DIFF, shape=(4, 4), tensors={"diff": "x.diff"})
    with Narrow():
        found = read_raw(change, lambda name: stored, torch.device("meta"))
    assert (found["diff"].device.type, found["diff"].dtype) == ("meta", torch.float32)
