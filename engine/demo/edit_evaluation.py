"""The edits by which demo-omni is measured, of combinations training never shows."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from engine.demo.edits import PLAIN_MIX, Edit, EditKind, sample_edit
from engine.demo.instructions import instruction
from engine.demo.recipe import SIZE_SHARES, SIZES

MEASURED: Final[tuple[EditKind, ...]] = (
    "recolour", "background", "add", "remove", "replace", "move", "resize", "style", "combine",
)  # fmt: skip


@dataclass(frozen=True)
class EvaluationEdit:
    """An instruction, the edit it asks for, and the size (width, height) of its pictures."""

    text: str
    edit: Edit
    size: tuple[int, int]


def evaluation_edits(count: int, seed: int) -> list[EvaluationEdit]:
    """Return `count` unseen edits, of all measured kinds in turn; the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 (a choice of edits, not a secret)
    found = []
    for index in range(count):
        edit = sample_edit(rng, MEASURED[index % len(MEASURED)], PLAIN_MIX, unseen=True)
        size = rng.choices(SIZES, SIZE_SHARES)[0]
        found.append(EvaluationEdit(instruction(edit, rng), edit, size))
    return found
