"""Measures how well a Demo model follows prompts: `python -m engine.demo.evaluate demo-base`.

The prompts name combinations of shape and colors that training never saw. Each picture is made the
way a user's is, read back from its file, and judged by `engine.demo.scorer`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from engine.demo.evaluation import evaluation_prompts
from engine.demo.scorer import Score, score
from engine.events import Result
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

    @property
    def mean(self) -> float:
        """Share of everything asked for that is as the prompts say, 0..1."""
        return (self.background + self.colour + self.shape + self.place) / 4

    def __str__(self) -> str:
        """Return the shares in percent, in one line."""
        names = ("background", "colour", "shape", "place")
        return ", ".join(f"{name} {100 * getattr(self, name):.0f} %" for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """A picture of an unseen prompt, [3, H, W] uint8, how it follows that, and what it took."""

    pixels: Tensor
    score: Score
    result: Result


def paint(asked: Request, count: int) -> Iterator[Painted]:
    """Paint `count` unseen prompts as a request asks, each with a seed of its own."""
    studio = Studio()
    hooks = Hooks(emit=lambda step: None, warn=lambda message: None, cancelled=lambda: False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for seed, prompt in enumerate(evaluation_prompts(count, PROMPT_SEED)):
            request = asked.with_values(prompt=prompt.text, seed=seed)
            order = Order(
                job=uuid.uuid4().hex, request=request, output=Output(folder=home), data_dir=home
            )
            result = execute(order, studio, hooks)
            pixels = _pixels(open_picture(result.pictures[0].path))
            yield Painted(pixels=pixels, score=score(pixels, prompt.scene), result=result)


def adherence(scores: Sequence[Score]) -> Adherence:
    """Return the shares of pictures that follow their prompts."""
    count = len(scores)
    return Adherence(
        background=sum(one.background for one in scores) / count,
        colour=sum(one.colour for one in scores) / count,
        shape=sum(one.shape for one in scores) / count,
        place=sum(one.place for one in scores) / count,
    )


def evaluate(model: str, count: int, precision: Precision = Precision.AUTO) -> Adherence:
    """Paint `count` unseen prompts with a model, by name or path, at its defaults."""
    asked = Request(prompt="", model=model, precision=precision)
    return adherence([one.score for one in paint(asked, count)])


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
    found = evaluate(given.model, given.count, Precision(given.precision))
    sys.stdout.write(f"{given.model}, {given.precision}: {found}\n")


if __name__ == "__main__":
    main()
