"""How many numbers an adapter puts beside a model's, told from its header alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from engine.lora.file import Change
from engine.lora.forms import Form, Shape
from engine.lora.match import Match


def added_numbers(found: Match) -> Iterator[tuple[str, int]]:
    """Yield the path of each linear layer of the transformer that changes, and its new numbers.

    One that is changed in several blocks comes several times. Weights that are no matrix are
    replaced by copies, which are no larger.
    """
    tensors = found.lora.header.tensors
    for fit in found.fits:
        if fit.target.linear:
            shapes = {role: tensors[name].shape for role, name in fit.change.tensors.items()}
            yield fit.target.module, _numbers(fit.change, shapes)


def _numbers(change: Change, shapes: dict[str, Shape]) -> int:
    """Count what is computed with, as `engine.lora.deltas` makes it; a gain lies in float32."""
    gain = 2 * sum(change.shape) if change.decomposed else 0
    if change.form is Form.LORA:
        rank = change.rank
        return gain + rank * sum(change.shape) + 2 * rank
    whole = math.prod(change.shape)
    if change.form is Form.LOKR and not change.decomposed:
        return _side(shapes, "lokr_w1", "") + _side(shapes, "lokr_w2", "lokr_t2")
    if change.form is Form.LOHA and not {"hada_t1", "hada_t2"} & shapes.keys():
        rank = shapes["hada_w1_b"][0] * shapes["hada_w2_b"][0]
        return gain + min(whole, rank * sum(change.shape) + 2 * rank)
    return gain + whole


def _side(shapes: dict[str, Shape], name: str, core: str) -> int:
    """Count one side of a Kronecker product, which stands there whole."""
    if name in shapes:
        return math.prod(shapes[name])
    left, right = shapes[f"{name}_a"], shapes[f"{name}_b"]
    return left[1 if core in shapes else 0] * right[1]
