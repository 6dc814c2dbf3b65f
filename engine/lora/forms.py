"""The forms of change that adapters know, and what the shapes of their tensors must be.

    LoRA   up · down                                       arXiv 2106.09685
    LoHa   (w1_a · w1_b) * (w2_a · w2_b), elementwise      arXiv 2108.06098
    LoKr   kron(w1, w2), either of them maybe a product    arXiv 2212.10650
    diff   the difference itself
Any of the first three may be decomposed into direction and magnitude (DoRA, arXiv 2402.09353).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_RANK: Final = 16_384

Shape = tuple[int, ...]


class Form(StrEnum):
    """How a file states the change of one weight."""

    LORA = "LoRA"
    LOHA = "LoHa"
    LOKR = "LoKr"
    DIFF = "diff"


class Malformed(Exception):
    """What is wrong with the tensors of one module, as a clause."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What shapes tell: form, shape of the weight that is changed, rank (0 without one)."""

    form: Form
    shape: Shape
    rank: int


def matrix(shape: Shape) -> Shape:
    """Return a shape without the trailing ones of a 1 x 1 convolution."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def measure(roles: Mapping[str, Shape]) -> Measure | None:
    """Return what the tensors of a module do to its weight; None if they leave it alone.

    roles: shapes of the tensors, by role. Raise `Malformed` where they do not belong together.
    """
    families = {_FAMILY[role] for role in roles if role in _FAMILY}
    if len(families) > 1:
        raise Malformed(f"is changed by {' and '.join(sorted(families))} at once")
    if not families:
        return None
    shapes = {role: matrix(shape) for role, shape in roles.items()}
    (form,) = families
    found = _MEASURES[form](shapes) if form is not Form.DIFF else _diff(roles["diff"])
    if found.form is not Form.DIFF and not 0 <= found.rank <= MAX_RANK:
        raise Malformed(f"has rank {found.rank:,}, more than {MAX_RANK:,}")
    if 0 in found.shape:
        raise Malformed(f"changes a weight of the shape {list(found.shape)}")
    _check_magnitude(shapes.get("dora_scale"), found)
    return found


def by_column(magnitude: Shape, weight: Shape) -> bool:
    """Say whether a DoRA magnitude stands for columns, not rows, of a weight (rows, columns)."""
    return magnitude == (1, weight[1]) and weight[0] != 1


def _check_magnitude(magnitude: Shape | None, found: Measure) -> None:
    if magnitude is None:
        return
    rows = found.shape[:1]
    plain = found.form is Form.DIFF or len(found.shape) != 2
    if plain or not (magnitude in {rows, (*rows, 1)} or by_column(magnitude, found.shape)):
        raise Malformed(f"has a dora_scale of the shape {list(magnitude)}")


def _diff(shape: Shape) -> Measure:
    return Measure(Form.DIFF, shape if len(shape) < 2 else matrix(shape), 0)


def _lora(shapes: Mapping[str, Shape]) -> Measure:
    rows, rank, columns = _product(shapes, "up", "down")
    return Measure(Form.LORA, (rows, columns), rank)


def _loha(shapes: Mapping[str, Shape]) -> Measure:
    sides = [_factors(shapes, f"hada_w{i}_a", f"hada_w{i}_b", f"hada_t{i}") for i in (1, 2)]
    (rows, rank, columns), second = sides
    if (rows, columns) != (second[0], second[2]):
        raise Malformed("has two factors of different size")
    return Measure(Form.LOHA, (rows, columns), rank)


def _lokr(shapes: Mapping[str, Shape]) -> Measure:
    first = _whole_or_factors(shapes, "lokr_w1", "")
    second = _whole_or_factors(shapes, "lokr_w2", "lokr_t2")
    rank = second[1] or first[1]
    return Measure(Form.LOKR, (first[0] * second[0], first[2] * second[2]), rank)


def _whole_or_factors(shapes: Mapping[str, Shape], name: str, core: str) -> tuple[int, int, int]:
    """Return rows, rank (0 if whole) and columns of one side of a Kronecker product."""
    whole = shapes.get(name)
    if whole is None:
        return _factors(shapes, f"{name}_a", f"{name}_b", core)
    if len(whole) != 2 or f"{name}_a" in shapes or f"{name}_b" in shapes:
        raise Malformed(f"has a {name} that is no single matrix")
    return whole[0], 0, whole[1]


def _factors(shapes: Mapping[str, Shape], left: str, right: str, core: str) -> tuple[int, int, int]:
    """Return rows, rank and columns of left · right, or of leftᵀ · core · right."""
    if core not in shapes:
        return _product(shapes, left, right)
    middle, a, b = (_two(shapes, role) for role in (core, left, right))
    if middle != (a[0], b[0]) or 0 in middle:
        raise Malformed(f"has a {core} of the shape {list(middle)}")
    return a[1], b[0], b[1]


def _product(shapes: Mapping[str, Shape], left: str, right: str) -> tuple[int, int, int]:
    """Return rows, rank and columns of left · right."""
    a, b = _two(shapes, left), _two(shapes, right)
    if a[1] != b[0]:
        raise Malformed(f"has {left} {list(a)} and {right} {list(b)}, which do not belong together")
    if a[1] == 0:
        raise Malformed("has rank 0")
    return a[0], a[1], b[1]


def _two(shapes: Mapping[str, Shape], role: str) -> tuple[int, int]:
    if role not in shapes:
        raise Malformed(f"has no {role}")
    shape = shapes[role]
    if len(shape) != 2:
        raise Malformed(f"has {role} of the shape {list(shape)}, which is no matrix")
    return shape[0], shape[1]


_MEASURES: Final = {Form.LORA: _lora, Form.LOHA: _loha, Form.LOKR: _lokr}

_FAMILY: Final = {
    "down": Form.LORA, "up": Form.LORA, "diff": Form.DIFF,
    **{f"hada_w{i}_{side}": Form.LOHA for i in (1, 2) for side in "ab"},
    **{f"hada_t{i}": Form.LOHA for i in (1, 2)},
    **{f"lokr_w{i}{side}": Form.LOKR for i in (1, 2) for side in ("", "_a", "_b")},
    "lokr_t2": Form.LOKR,
}  # fmt: skip
