"""Measures how well a Demo model follows prompts: `python -m engine.demo.evaluate demo-base`.

The prompts name combinations of shape and colors that training never saw. Each picture is made the
way a user's is, read back from its file, and judged by `engine.demo.scorer`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from engine.demo.evaluation import EvaluationPrompt, evaluation_prompts
from engine.demo.scorer import Score, score
from engine.images.open import open_picture
from engine.jobs.order import Hooks, Order, Output
from engine.memory.studio import Studio
from engine.request import Precision, Request
from engine.run import execute

PROMPT_SEED = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Adherence:
    """Shares of pictures, 0..1, in which each thing was as the prompt says."""

    background: float
    colour: float
    shape: float
    place: float

    def __str__(self) -> str:
        """Return the shares in percent, in one line."""
        names = ("background", "colour", "shape", "place")
        return ", ".join(f"{name} {100 * getattr(self, name):.0f} %" for name in names)


def evaluate(model: str, count: int, precision: Precision = Precision.AUTO) -> Adherence:
    """Paint `count` unseen prompts with a model, by name or path, at its defaults."""
    studio = Studio()
    asked = Request(prompt="", model=model, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        scores = [
            _judged(prompt, asked.with_values(prompt=prompt.text, seed=seed), studio, Path(folder))
            for seed, prompt in enumerate(evaluation_prompts(count, PROMPT_SEED))
        ]
    return Adherence(
        background=sum(one.background for one in scores) / count,
        colour=sum(one.colour for one in scores) / count,
        shape=sum(one.shape for one in scores) / count,
        place=sum(one.place for one in scores) / count,
    )


def _judged(prompt: EvaluationPrompt, request: Request, studio: Studio, folder: Path) -> Score:
    hooks = Hooks(emit=lambda step: None, warn=lambda message: None, cancelled=lambda: False)
    order = Order(job=uuid.uuid4().hex, request=request, output=Output(folder=folder))
    result = execute(order, studio, hooks)
    return score(_pixels(open_picture(result.pictures[0].path)), prompt.scene)


def _pixels(picture: Image) -> Tensor:
    """Return the bytes of an RGB picture as [3, H, W] uint8."""
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, 3).permute(2, 0, 1)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.demo.evaluate", description=__doc__)
    parser.add_argument("model", help="demo-base, demo-turbo, or a model folder")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--precision", choices=list(Precision), default=Precision.AUTO.value)
    given = parser.parse_args()
    adherence = evaluate(given.model, given.count, Precision(given.precision))
    sys.stdout.write(f"{given.model}, {given.precision}: {adherence}\n")


if __name__ == "__main__":
    main()
