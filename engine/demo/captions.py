"""Puts scenes into words, anew at each call, from the phrases of engine.demo.phrases."""

from __future__ import annotations

import random
import re

from engine.demo.phrases import PHRASES
from engine.demo.scenes import Background, Scene, ShapeObject, ShapeScene, Side, WorldScene


def caption(scene: Scene, rng: random.Random) -> str:
    """Describe a scene in one of many wordings chosen by `rng`."""
    if isinstance(scene, ShapeScene):
        words = _shapes(scene, rng)
        if rng.random() < 0.22:
            words = filled("prefix", rng, it=words)
    else:
        words = _world(scene, rng)
    if rng.random() < 0.35:
        words = words[0].upper() + words[1:]
    return words + "." if rng.random() < 0.15 else words


def vocabulary() -> frozenset[str]:
    """Return every word, in lower case, that a caption can hold."""
    text = " ".join(phrase for phrases in PHRASES.values() for phrase in phrases)
    return frozenset(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text)))


def filled(key: str, rng: random.Random, **parts: str) -> str:
    """Choose one of the phrases of a key and fill in its parts."""
    return completed(rng.choice(PHRASES[key]), **parts)


def completed(template: str, **parts: str) -> str:
    """Fill in the parts of a phrase; what an empty part leaves behind is tidied."""
    phrase = template.format(**parts)
    return re.sub(r"\s+(?=,|$)", "", re.sub(r" {2,}", " ", phrase)).strip()


def with_article(words: str) -> str:
    """Put the indefinite article that fits before the words."""
    return PHRASES["article"][words[0] in "aeiou"].format(it=words)


def _shapes(scene: ShapeScene, rng: random.Random) -> str:
    bare = named_background(scene.background, rng)
    ground = with_article(bare)
    if scene.background.kind == "plain" and rng.random() < 0.08:
        bare = ground = filled("colour/" + scene.background.colours[0], rng)
    if not scene.objects:
        return filled("empty", rng, ground=ground)
    if scene.relation is not None:
        first, second = (with_article(named_object(item, rng)) for item in scene.objects)
        pair = filled("two/" + scene.relation, rng, a=first, b=second)
        hidden = rng.random() < 0.05
        return pair if hidden else filled("two", rng, it=pair, ground=ground, bare=bare)
    return _one(scene.objects[0], bare, ground, rng)


def _one(item: ShapeObject, bare: str, ground: str, rng: random.Random) -> str:
    name = named_object(item, rng)
    place = filled("place/" + item.place, rng)
    if rng.random() < (0.35 if item.place == "center" else 0.08):
        place = ""
    if rng.random() < 0.05:
        return filled("placed", rng, it=with_article(name), place=place)
    if place and rng.random() < 0.08:
        return filled("tags", rng, it=name, bare=bare, place=place)
    return filled("one", rng, it=with_article(name), bare=bare, ground=ground, place=place)


def named_object(item: ShapeObject, rng: random.Random) -> str:
    """Name an object by its colour and shape, and often by its size."""
    colour = filled("colour/" + item.colour, rng)
    shape = filled("shape/" + item.shape, rng)
    said = rng.random() < (0.25 if item.size == "medium" else 0.75)
    size = filled("size/" + item.size, rng) + " " if said else ""
    return f"{size}{colour} {shape}"


def named_background(background: Background, rng: random.Random) -> str:
    """Name a background, without an article."""
    names = [filled("colour/" + name, rng) for name in background.colours]
    parts = dict(zip("ab", names, strict=False))
    backdrop = filled("backdrop", rng)
    if background.kind == "dotted" and rng.random() < 0.5:
        return filled("dots", rng, backdrop=backdrop, **parts)
    return filled("ground/" + background.kind, rng, **parts) + " " + backdrop


def _world(scene: WorldScene, rng: random.Random) -> str:
    words = _landscape(scene, rng)
    time = filled("time/" + scene.time, rng)
    if not (scene.house or scene.trees or scene.boat) and rng.random() < 0.3:
        words, time = filled("over/" + scene.time, rng, it=words), ""
    elif scene.time == "day" and rng.random() < 0.3:
        time = ""
    sky = _sky(scene, rng)
    if sky:
        words = filled("world", rng, it=words, time=time, sky=sky)
    elif time:
        words = filled("world/timed", rng, it=words, time=time)
    return filled("style/" + scene.style, rng, it=words)


def _landscape(scene: WorldScene, rng: random.Random) -> str:
    land = filled("land/" + scene.land, rng)
    things = _joined(_on_land(scene, rng), rng)
    boat = ""
    if scene.boat is not None:
        sail = filled("colour/" + scene.boat.sail, rng)
        boat = _sided(filled("boat", rng, sail=sail), scene.boat.side, rng)
    if things and boat:
        return filled("both/bay", rng, it=things, boat=boat, land=land)
    if boat:
        return filled("sail/" + scene.ground, rng, boat=boat, land=land)
    if things:
        unnamed = scene.ground == "bay" and scene.land == "green" and rng.random() < 0.3
        key = "shore" if unnamed else "on/" + scene.ground
        return filled(key, rng, it=things, land=land)
    return filled("bare/" + scene.ground, rng, land=land)


def _on_land(scene: WorldScene, rng: random.Random) -> list[str]:
    things = []
    if scene.house is not None:
        roof = with_article(filled("colour/" + scene.house.roof, rng))
        things.append(_sided(filled("house", rng, roof=roof), scene.house.side, rng))
    if scene.trees is not None:
        key = ("trees/" if scene.trees.several else "tree/") + scene.trees.kind
        things.append(filled(key, rng))
    rng.shuffle(things)
    return things


def _sided(words: str, side: Side, rng: random.Random) -> str:
    if rng.random() < 0.7:
        return words
    sides = dict(zip(("left", "right", "center"), PHRASES["sided"], strict=True))
    return sides[side].format(it=words)


def _joined(parts: list[str], rng: random.Random) -> str:
    words = parts[0] if parts else ""
    for part in parts[1:]:
        words = filled("and", rng, a=words, b=part)
    return words


def _sky(scene: WorldScene, rng: random.Random) -> str:
    parts = []
    if scene.sky.light is not None and rng.random() < 0.8:
        parts.append(_sided(filled("light/" + scene.time, rng), scene.sky.light, rng))
    if scene.sky.stars and rng.random() < 0.8:
        parts.append(filled("stars", rng))
    if scene.sky.clouds and rng.random() < 0.8:
        parts.append(filled("clouds", rng))
    rng.shuffle(parts)
    return filled("under", rng, it=_joined(parts, rng)) if parts else ""
