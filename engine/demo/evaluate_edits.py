"""Measures how well a model edits: `python -m engine.demo.evaluate_edits demo-omni`.

The edits are of combinations that training never saw. Each is carried out the way a user's is, from
picture files to a picture file, which is judged by `engine.demo.edit_scorer`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from engine.demo.drawing import draw_sketch, to_tensor
from engine.demo.edit_evaluation import MEASURED, EvaluationEdit, evaluation_edits
from engine.demo.edit_scorer import EditScore, score_edit
from engine.images.open import open_picture
from engine.jobs.order import Hooks, Order, Output
from engine.memory.studio import Studio
from engine.request import Request, Task
from engine.run import execute

EDIT_SEED = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An unseen edit, its picture [3, H, W] uint8, and how that follows the instruction."""

    asked: EvaluationEdit
    pixels: Tensor
    score: EditScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedience:
    """Shares of edits, 0..1, in which the asked change is done, and in which the rest is kept."""

    done: float
    kept: float

    def __str__(self) -> str:
        """Return the shares in percent, in one line."""
        return f"done {100 * self.done:.0f} %, kept {100 * self.kept:.0f} %"


def edit(asked: Request, count: int, seed: int = EDIT_SEED) -> Iterator[Edited]:
    """Carry out `count` unseen edits as a request asks, each with a seed of its own."""
    studio = Studio()
    hooks = Hooks(emit=lambda step: None, warn=lambda message: None, cancelled=lambda: False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for number, each in enumerate(evaluation_edits(count, seed)):
            request = asked.with_values(
                prompt=each.text,
                seed=number,
                task=Task.EDIT,
                images=tuple(_drawn(each, home / f"{number}")),
                width=each.size[0],
                height=each.size[1],
            )
            order = Order(
                job=uuid.uuid4().hex, request=request, output=Output(folder=home), data_dir=home
            )
            result = execute(order, studio, hooks)
            pixels = to_tensor(open_picture(result.pictures[0].path))
            yield Edited(asked=each, pixels=pixels, score=score_edit(pixels, each.edit))


def obedience(scores: Sequence[EditScore]) -> Obedience:
    """Return the shares of edits that are done and that keep the rest."""
    count = len(scores)
    return Obedience(
        done=sum(one.done for one in scores) / count, kept=sum(one.kept for one in scores) / count
    )


def _drawn(each: EvaluationEdit, stem: Path) -> Iterator[str]:
    """Write the pictures that an edit starts from; yield their paths."""
    for index, sketch in enumerate(each.edit.before, start=1):
        path = stem.with_name(f"{stem.name}-{index}.png")
        pixels = draw_sketch(sketch, *each.size)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
        yield str(path)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.demo.evaluate_edits", description=__doc__
    )
    parser.add_argument("model", help="demo-omni, or the folder of a model that edits")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--guidance", type=float, help="guidance scale in place of the model's own")
    given = parser.parse_args()
    asked = Request(prompt="", model=given.model, guidance_scale=given.guidance)
    edited = list(edit(asked, given.count))
    for kind in MEASURED:
        of_kind = [one.score for one in edited if one.asked.edit.kind == kind]
        if of_kind:
            sys.stdout.write(f"{kind}, {len(of_kind)} edits: {obedience(of_kind)}\n")
    every = obedience([one.score for one in edited])
    sys.stdout.write(f"{given.model}, {len(edited)} edits: {every}\n")


if __name__ == "__main__":
    main()
