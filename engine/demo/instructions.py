"""Puts edits into words, anew at each call, from the phrases of engine.demo.edit_phrases."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from engine.demo.captions import (
    completed,
    filled,
    named_background,
    named_object,
    vocabulary,
    with_article,
)
from engine.demo.edit_phrases import EDIT_PHRASES
from engine.demo.edits import Edit, EditKind, changed_object, giver
from engine.demo.scenes import SIZES, Place, Scene, ShapeObject, ShapeScene, WorldScene


def instruction(edit: Edit, rng: random.Random) -> str:
    """Ask for an edit in one of many wordings chosen by `rng`."""
    words = _WORDINGS[edit.kind](edit, rng)
    if rng.random() < 0.35:
        words = words[0].upper() + words[1:]
    return words + "." if rng.random() < 0.15 else words


def edit_vocabulary() -> frozenset[str]:
    """Return every word, in lower case, that a caption or an instruction can hold."""
    text = " ".join(phrase for phrases in EDIT_PHRASES.values() for phrase in phrases)
    words = re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text))
    return vocabulary() | frozenset(words) | {"1", "2"}


def _worded(key: str, rng: random.Random, **parts: str) -> str:
    return completed(rng.choice(EDIT_PHRASES[key]), **parts)


def _the(scene: Scene, item: ShapeObject, rng: random.Random) -> str:
    """Point at an object of a scene, by as much as tells it from another."""
    others = [other for other in _shapes(scene).objects if other != item]
    if not others and rng.random() < 0.3:
        return _worded("only", rng)
    alike = any(other.shape == item.shape for other in others)
    colour = filled("colour/" + item.colour, rng)
    shape = filled("shape/" + item.shape, rng)
    return _worded("the/full" if alike else "the", rng, colour=colour, shape=shape)


def _shapes(scene: Scene) -> ShapeScene:
    if not isinstance(scene, ShapeScene):
        raise TypeError(f"no object can be pointed at in {scene}")
    return scene


def _landscape(scene: Scene) -> WorldScene:
    if not isinstance(scene, WorldScene):
        raise TypeError(f"{scene} is no landscape")
    return scene


def _pair(edit: Edit) -> tuple[ShapeObject, ShapeObject]:
    old, new = changed_object(edit)
    if old is None or new is None:
        raise ValueError(f"nothing is changed by {edit}")
    return old, new


def _recolour(edit: Edit, rng: random.Random) -> str:
    old, new = _pair(edit)
    the = _the(edit.before[0].scene, old, rng)
    return _worded("recolour", rng, the=the, new=filled("colour/" + new.colour, rng))


def _background(edit: Edit, rng: random.Random) -> str:
    scene, ground = _shapes(edit.before[0].scene), _shapes(edit.after.scene).background
    if ground.kind == "plain" and rng.random() < 0.7:
        colour = filled("colour/" + ground.colours[0], rng)
        return _worded("background/plain", rng, colour=colour)
    the = _the(scene, scene.objects[0], rng) if len(scene.objects) == 1 else "it"
    return _worded("background", rng, the=the, ground=with_article(named_background(ground, rng)))


def _add(edit: Edit, rng: random.Random) -> str:
    new = changed_object(edit)[1]
    if new is None:
        raise ValueError(f"nothing is added by {edit}")
    scene = _shapes(edit.before[0].scene)
    place = filled("place/" + new.place, rng)
    if scene.objects:
        the = _the(scene, scene.objects[0], rng)
        place = _worded("beside/" + new.place, rng, the=the)
    return _worded("add", rng, new=with_article(named_object(new, rng)), place=place)


def _remove(edit: Edit, rng: random.Random) -> str:
    old = changed_object(edit)[0]
    if old is None:
        raise ValueError(f"nothing is removed by {edit}")
    return _worded("remove", rng, the=_the(edit.before[0].scene, old, rng))


def _replace(edit: Edit, rng: random.Random) -> str:
    old, new = _pair(edit)
    name = filled("shape/" + new.shape, rng)
    if new.colour != old.colour or rng.random() < 0.3:
        name = filled("colour/" + new.colour, rng) + " " + name
    the = _the(edit.before[0].scene, old, rng)
    return _worded("replace", rng, the=the, new=with_article(name))


def _move(edit: Edit, rng: random.Random) -> str:
    old, new = _pair(edit)
    place: Place = new.place
    the = _the(edit.before[0].scene, old, rng)
    return _worded("move", rng, the=the, place=_worded("to/" + place, rng))


def _resize(edit: Edit, rng: random.Random) -> str:
    old, new = _pair(edit)
    the = _the(edit.before[0].scene, old, rng)
    if rng.random() < 0.5:
        return _worded("resize", rng, the=the, size=filled("size/" + new.size, rng))
    steps = SIZES.index(new.size) - SIZES.index(old.size)
    way = "grow" if steps > 0 else "shrink"
    return _worded(way + "/much" if abs(steps) == 2 else way, rng, the=the)


def _style(edit: Edit, rng: random.Random) -> str:
    return _worded("style/" + _landscape(edit.after.scene).style, rng)


def _time(edit: Edit, rng: random.Random) -> str:
    old = _landscape(edit.before[0].scene).time
    return _worded("time/" + _landscape(edit.after.scene).time, rng, old=old)


def _combine(edit: Edit, rng: random.Random) -> str:
    item, source = _shapes(edit.after.scene).objects[0], giver(edit)
    colour = filled("colour/" + item.colour, rng)
    name = _worded("object", rng, colour=colour, shape=filled("shape/" + item.shape, rng))
    numbers = {"giver": str(source + 1), "taker": str(2 - source)}
    return _worded("combine", rng, object=name, **numbers)


_WORDINGS: Final[Mapping[EditKind, Callable[[Edit, random.Random], str]]] = MappingProxyType(
    {
        "recolour": _recolour,
        "background": _background,
        "add": _add,
        "remove": _remove,
        "replace": _replace,
        "move": _move,
        "resize": _resize,
        "style": _style,
        "time": _time,
        "combine": _combine,
    }
)
