"""The prompts by which the Demo models are measured, of combinations training never shows."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.demo.captions import with_article
from engine.demo.phrases import PHRASES
from engine.demo.scenes import (
    COLOUR_NAMES,
    PLACES,
    SHAPES,
    Background,
    Shape,
    ShapeObject,
    ShapeScene,
    Size,
    is_held_out,
)

_Card = TypeVar("_Card")

_SIZES: Final[tuple[Size, ...]] = ("medium", "large")


@dataclass(frozen=True)
class EvaluationPrompt:
    """A prompt and the scene it asks for."""

    text: str
    scene: ShapeScene


def evaluation_prompts(count: int, seed: int) -> list[EvaluationPrompt]:
    """Return `count` prompts of one medium or large object at a place before a plain background.

    All combinations of shape and colours are held out; shapes come equally often, and so do
    colours as far as held-out combinations allow. The same seed gives the same prompts.
    """
    rng = random.Random(seed)  # noqa: S311 (a choice of prompts, not a secret)
    seen: Counter[str] = Counter()
    prompts = []
    for shape, place in zip(_dealt(SHAPES, count, rng), _dealt(PLACES, count, rng), strict=True):
        pairs = _held_out_pairs(shape)
        rng.shuffle(pairs)
        colour, ground = min(pairs, key=lambda pair: seen[pair[0]])
        seen[colour] += 1
        scene = _scene(ShapeObject(shape, colour, rng.choice(_SIZES), place), ground)
        prompts.append(EvaluationPrompt(_worded(scene), scene))
    return prompts


def _dealt(cards: tuple[_Card, ...], count: int, rng: random.Random) -> list[_Card]:
    """Deal shuffled decks of all cards until there are `count`."""
    dealt: list[_Card] = []
    while len(dealt) < count:
        dealt += rng.sample(cards, len(cards))
    return dealt[:count]


def _held_out_pairs(shape: Shape) -> list[tuple[str, str]]:
    pairs = [(colour, ground) for colour in COLOUR_NAMES for ground in COLOUR_NAMES]
    return [
        (colour, ground)
        for colour, ground in pairs
        if colour != ground
        and is_held_out(_scene(ShapeObject(shape, colour, "large", "center"), ground))
    ]


def _scene(item: ShapeObject, ground: str) -> ShapeScene:
    return ShapeScene(Background("plain", (ground,)), (item,))


def _worded(scene: ShapeScene) -> str:
    item = scene.objects[0]
    size = "large " if item.size == "large" else ""
    where = PHRASES["place/" + item.place][0]
    name, ground = f"{size}{item.colour} {item.shape}", scene.background.colours[0]
    return f"{with_article(name)} {where} on {with_article(ground)} background"
