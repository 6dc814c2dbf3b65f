"""Adapters that are damaged or hostile: a sentence each, before anything is applied."""

from __future__ import annotations

from math import prod

import pytest

from engine.errors import FileRejected, NotFound
from engine.lora.file import read_lora
from tests.engine.checkpoints.forge import entries, packed, whole_file

Q = "diffusion_model.layers.0.attention.to_q"
DOWN, UP = f"{Q}.lora_down.weight", f"{Q}.lora_up.weight"
GOOD = {DOWN: (4, 64), UP: (64, 4)}

SHAPES = {
    "no up": ({DOWN: (4, 64)}, "has no up"),
    "no down": ({UP: (64, 4)}, "has no down"),
    "ranks that differ": ({DOWN: (4, 64), UP: (64, 8)}, "do not belong together"),
    "rank zero": ({DOWN: (0, 64), UP: (64, 0)}, "rank 0"),
    "a rank of a million": ({DOWN: (10**6, 1), UP: (1, 10**6)}, "rank 1,000,000"),
    "no columns": ({DOWN: (4, 0), UP: (64, 4)}, r"shape \[64, 0\]"),
    "a vector": ({DOWN: (4,), UP: (64, 4)}, "no matrix"),
    "a convolution": ({DOWN: (4, 64, 3, 3), UP: (64, 4, 1, 1)}, "no matrix"),
    "alpha alone": ({f"{Q}.alpha": ()}, "has only alpha"),
    "a magnitude alone": ({f"{Q}.dora_scale": (64, 1)}, "has only dora_scale"),
    "a magnitude of another size": (GOOD | {f"{Q}.dora_scale": (63, 1)}, "dora_scale of the shape"),
    "a magnitude of a difference": (
        {f"{Q}.diff": (64, 64), f"{Q}.dora_scale": (64, 1)}, "dora_scale of the shape"),
    "two forms at once": (GOOD | {f"{Q}.lokr_w1": (4, 4), f"{Q}.lokr_w2": (16, 16)},
        "LoKr and LoRA at once"),
    "half a LoKr": ({f"{Q}.lokr_w1": (4, 4)}, "has no lokr_w2_a"),
    "a LoKr both whole and in parts": (
        {f"{Q}.lokr_w1": (4, 4), f"{Q}.lokr_w2": (16, 16), f"{Q}.lokr_w2_a": (16, 2)},
        "no single matrix"),
    "a LoKr with a wrong core": (
        {f"{Q}.lokr_w1": (4, 4), f"{Q}.lokr_t2": (2, 3), f"{Q}.lokr_w2_a": (2, 16),
         f"{Q}.lokr_w2_b": (2, 16)}, "lokr_t2 of the shape"),
    "half a LoHa": ({f"{Q}.hada_w1_a": (64, 2), f"{Q}.hada_w1_b": (2, 64)}, "has no hada_w2_a"),
    "a LoHa of two sizes": (
        {f"{Q}.hada_w1_a": (64, 2), f"{Q}.hada_w1_b": (2, 64), f"{Q}.hada_w2_a": (64, 2),
         f"{Q}.hada_w2_b": (2, 32)}, "two factors of different size"),
    "the same pair twice": (GOOD | {f"{Q}.lora_A.weight": (4, 64)}, "twice"),
    "an alpha of many numbers": (GOOD | {f"{Q}.alpha": (4,)}, "no finite number"),
}  # fmt: skip


@pytest.mark.parametrize("fault", SHAPES)
def test_a_malformed_adapter_is_refused_with_the_reason(fault, tmp_path):
    shapes, reason = SHAPES[fault]
    path = tmp_path / "hostile.safetensors"
    raw = packed(entries(shapes))
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(len(raw) + sum_bytes(shapes))
    with pytest.raises(FileRejected, match=reason) as caught:
        read_lora(path)
    assert "hostile.safetensors" in caught.value.message
    assert len(caught.value.message) < 400


def sum_bytes(shapes):
    return sum(4 * prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("bits", ["0000c07f", "0000807f", "000080ff"])
def test_an_alpha_that_is_not_finite_is_refused(bits, tmp_path):
    shapes = {f"{Q}.alpha": (), **GOOD}
    data = bytes.fromhex(bits) + bytes(sum_bytes(GOOD))
    path = tmp_path / "alpha.safetensors"
    path.write_bytes(packed(entries(shapes), data))
    with pytest.raises(FileRejected, match="no finite number"):
        read_lora(path)


def test_integers_are_refused_as_tensors_of_an_adapter(tmp_path):
    path = tmp_path / "integers.safetensors"
    path.write_bytes(whole_file(GOOD, "I8"))
    with pytest.raises(FileRejected, match="as I8"):
        read_lora(path)


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_a_truncated_adapter_is_refused(cut, tmp_path):
    path = tmp_path / "short.safetensors"
    path.write_bytes(whole_file(GOOD)[:cut])
    with pytest.raises(FileRejected, match=r"incomplete|not a safetensors"):
        read_lora(path)


def test_a_pickle_under_the_right_name_is_refused(tmp_path):
    path = tmp_path / "virus.safetensors"
    path.write_bytes(b"\x80\x04\x95" + bytes(100))
    with pytest.raises(FileRejected, match="pickle"):
        read_lora(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(NotFound):
        read_lora(tmp_path / "none.safetensors")
