"""What an edit of a Demo picture is, and how edits are drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

from engine.demo.scenes import (
    COLOUR_NAMES,
    PLACES,
    SHAPES,
    SIZES,
    Mix,
    Scene,
    ShapeObject,
    ShapeScene,
    Style,
    Time,
    WorldScene,
    is_held_out,
    sample_background,
    sample_shapes,
    sample_world,
)

EditKind = Literal[
    "recolour", "background", "add", "remove", "replace", "move", "resize", "style", "time",
    "combine",
]  # fmt: skip

EDIT_KINDS: Final[tuple[EditKind, ...]] = get_args(EditKind)

SHARES: Final = (0.07, 0.07, 0.10, 0.05, 0.16, 0.16, 0.23, 0.14, 0.02)
"""How often training shows each kind with one picture before, in the order of EDIT_KINDS.

What is learnt slowest is shown most: an outline drawn anew, in another size or at another place.
"""

EDIT_MIX: Final = Mix(
    world=0.0,
    backgrounds=(0.70, 0.09, 0.07, 0.08, 0.06),
    objects=(0.0, 0.78, 0.22),
    sizes=(0.24, 0.38, 0.38),
)
PLAIN_MIX: Final = Mix(
    world=0.0,
    backgrounds=(1.0, 0.0, 0.0, 0.0, 0.0),
    objects=(0.0, 0.85, 0.15),
    sizes=(0.0, 0.5, 0.5),
)
"""Scenes that the scorer can read: plain backgrounds, medium and large objects."""


@dataclass(frozen=True)
class Sketch:
    """A scene with the random numbers of its parts.

    Parts of two sketches that share a seed look alike: an object keeps its angle, shade and offset
    from its place. seeds: of the background, then of each object; of a landscape a single one.
    crowded: whether objects leave room for another.
    """

    scene: Scene
    seeds: tuple[int, ...]
    crowded: bool = False


@dataclass(frozen=True)
class Edit:
    """One change: the one or two pictures it starts from, and the picture it leads to."""

    kind: EditKind
    before: tuple[Sketch, ...]
    after: Sketch


def sample_edit(rng: random.Random, kind: EditKind, mix: Mix, *, unseen: bool = False) -> Edit:
    """Draw an edit of a kind by lot; `unseen` ones, and no others, are kept from training."""
    edit = _SAMPLERS[kind](rng, mix)
    while is_unseen(edit) != unseen:
        edit = _SAMPLERS[kind](rng, mix)
    return edit


def is_unseen(edit: Edit) -> bool:
    """Say whether an edit is kept from training.

    It is where one of its pictures shows a shape, a colour and a plain background that are held
    out together, or a landscape in a time of day, land and style that are.
    """
    return any(_is_held_out(sketch.scene) for sketch in (*edit.before, edit.after))


def reversed_edit(edit: Edit) -> Edit:
    """Return the edit that leads back; one of two pictures has none and raises ValueError."""
    if len(edit.before) > 1:
        raise ValueError("an edit of two pictures cannot be reversed")
    turned: Mapping[EditKind, EditKind] = {"add": "remove", "remove": "add"}
    return Edit(turned.get(edit.kind, edit.kind), (edit.after,), edit.before[0])


def giver(edit: Edit) -> int:
    """Return which picture before, 0 or 1, the object of a combined picture comes from."""
    return next(at for at, sketch in enumerate(edit.before) if edit.after.seeds[1] in sketch.seeds)


def changed_object(edit: Edit) -> tuple[ShapeObject | None, ShapeObject | None]:
    """Return the object an edit is about, before and after; None where it is not there."""
    before, after = _objects(edit.before[0].scene), _objects(edit.after.scene)
    old = [item for item in before if item not in after]
    new = [item for item in after if item not in before]
    return (old[0] if old else None), (new[0] if new else None)


def _objects(scene: Scene) -> tuple[ShapeObject, ...]:
    return scene.objects if isinstance(scene, ShapeScene) else ()


def _is_held_out(scene: Scene) -> bool:
    if isinstance(scene, ShapeScene):
        return any(is_held_out(replace(scene, objects=(item,))) for item in scene.objects)
    return (scene.time, scene.ground, scene.land, scene.style) in _HELD_OUT_LANDSCAPES


_HELD_OUT_LANDSCAPES: Final = frozenset(
    {
        ("day", "bay", "golden", "watercolor"),
        ("day", "hills", "snowy", "pixel art"),
        ("day", "sea", "green", "watercolor"),
        ("sunset", "mountains", "green", "pixel art"),
        ("sunset", "hills", "golden", "watercolor"),
        ("sunset", "bay", "green", "flat"),
        ("night", "bay", "snowy", "watercolor"),
        ("night", "mountains", "golden", "pixel art"),
        ("night", "sea", "green", "pixel art"),
        ("night", "hills", "green", "flat"),
    }
)


def _seeded(rng: random.Random, scene: ShapeScene) -> Sketch:
    seeds = tuple(rng.getrandbits(64) for _ in range(1 + len(scene.objects)))
    return Sketch(scene, seeds, crowded=len(scene.objects) == 2)


def _shapes(rng: random.Random, mix: Mix) -> tuple[Sketch, ShapeScene]:
    """Return a sketch, and its scene, whose objects differ in shape or colour."""
    scene = sample_shapes(rng, mix)
    while len({(item.shape, item.colour) for item in scene.objects}) < len(scene.objects):
        scene = sample_shapes(rng, mix)
    return _seeded(rng, scene), scene


def _single(rng: random.Random, mix: Mix) -> tuple[Sketch, ShapeScene]:
    return _shapes(rng, replace(mix, objects=(0.0, 1.0, 0.0)))


def _changed(sketch: Sketch, scene: ShapeScene, index: int, item: ShapeObject) -> Sketch:
    objects = (*scene.objects[:index], item, *scene.objects[index + 1 :])
    return replace(sketch, scene=replace(scene, objects=objects))


def _free_colours(scene: ShapeScene) -> list[str]:
    taken = {*scene.background.colours, *(item.colour for item in scene.objects)}
    return [name for name in COLOUR_NAMES if name not in taken]


def _recolour(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _shapes(rng, mix)
    index = rng.randrange(len(scene.objects))
    item = replace(scene.objects[index], colour=rng.choice(_free_colours(scene)))
    return Edit("recolour", (sketch,), _changed(sketch, scene, index, item))


def _background(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _shapes(rng, mix)
    taken = {item.colour for item in scene.objects}
    ground = sample_background(rng, mix)
    while taken & set(ground.colours) or ground.colours == scene.background.colours:
        ground = sample_background(rng, mix)
    seeds = (rng.getrandbits(64), *sketch.seeds[1:])
    after = replace(sketch, scene=replace(scene, background=ground), seeds=seeds)
    return Edit("background", (sketch,), after)


def _remove(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _shapes(rng, mix)
    index = rng.randrange(len(scene.objects))
    objects = (*scene.objects[:index], *scene.objects[index + 1 :])
    seeds = (*sketch.seeds[: index + 1], *sketch.seeds[index + 2 :])
    after = Sketch(replace(scene, objects=objects), seeds, sketch.crowded)
    return Edit("remove", (sketch,), after)


def _add(rng: random.Random, mix: Mix) -> Edit:
    return reversed_edit(_remove(rng, mix))


def _replace(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _shapes(rng, mix)
    index = rng.randrange(len(scene.objects))
    old = scene.objects[index]
    shape = rng.choice([shape for shape in SHAPES if shape != old.shape])
    colour = rng.choice(_free_colours(scene)) if rng.random() < 0.4 else old.colour
    item = replace(old, shape=shape, colour=colour)
    if (shape, colour) in {(other.shape, other.colour) for other in scene.objects}:
        return _replace(rng, mix)
    return Edit("replace", (sketch,), _changed(sketch, scene, index, item))


def _move(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _single(rng, mix)
    old = scene.objects[0]
    place = rng.choice([place for place in PLACES if place != old.place])
    return Edit("move", (sketch,), _changed(sketch, scene, 0, replace(old, place=place)))


def _resize(rng: random.Random, mix: Mix) -> Edit:
    sketch, scene = _single(rng, mix)
    old = scene.objects[0]
    size = rng.choice([size for size in SIZES if size != old.size])
    return Edit("resize", (sketch,), _changed(sketch, scene, 0, replace(old, size=size)))


def _style(rng: random.Random, mix: Mix) -> Edit:
    scene, seeds = sample_world(rng), (rng.getrandbits(64),)
    style = rng.choice([style for style in get_args(Style) if style != scene.style])
    after = Sketch(replace(scene, style=style), seeds)
    return Edit("style", (Sketch(scene, seeds),), after)


def _time(rng: random.Random, mix: Mix) -> Edit:
    """Trees stand elsewhere at sunset, so that a landscape with trees goes from day to night."""
    scene, seeds = sample_world(rng), (rng.getrandbits(64),)
    while scene.trees is not None and scene.time == "sunset":
        scene = sample_world(rng)
    times: tuple[Time, ...] = ("day", "night") if scene.trees is not None else get_args(Time)
    time = rng.choice([time for time in times if time != scene.time])
    before, after = _lit(scene, scene.time), _lit(scene, time)
    return Edit("time", (Sketch(before, seeds),), Sketch(after, seeds))


def _lit(scene: WorldScene, time: Time) -> WorldScene:
    """Return a landscape at a time of day, with stars at night where there is no moon."""
    stars = time == "night" and scene.sky.light is None
    return replace(scene, time=time, sky=replace(scene.sky, stars=stars))


def _combine(rng: random.Random, mix: Mix) -> Edit:
    """The object of one picture before the background of the other, which may hold one too."""
    first, source = _single(rng, mix)
    item = source.objects[0]
    second, taker = _single(rng, mix)
    while item.colour in taker.background.colours or taker.background == source.background:
        second, taker = _single(rng, mix)
    if rng.random() < 0.4:
        second = Sketch(replace(taker, objects=()), second.seeds[:1])
    scene = ShapeScene(taker.background, (item,))
    after = Sketch(scene, (second.seeds[0], first.seeds[1]))
    before = (first, second) if rng.random() < 0.65 else (second, first)
    return Edit("combine", before, after)


_SAMPLERS: Final[Mapping[EditKind, Callable[[random.Random, Mix], Edit]]] = MappingProxyType(
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
