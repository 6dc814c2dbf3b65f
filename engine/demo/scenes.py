"""What a Demo picture shows: the scenes, how they are drawn by lot, and which stay unseen."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Final, Literal, get_args

from engine.demo.palette import COLOURS

Shape = Literal["circle", "square", "triangle", "star", "diamond", "cross", "ring", "heart"]
Size = Literal["small", "medium", "large"]
Place = Literal[
    "center", "left", "right", "top", "bottom",
    "top left", "top right", "bottom left", "bottom right",
]  # fmt: skip
BackgroundKind = Literal["plain", "striped", "checkered", "gradient", "dotted"]
Relation = Literal["left-right", "above-below"]
Time = Literal["day", "sunset", "night"]
Ground = Literal["hills", "mountains", "sea", "bay"]
Land = Literal["green", "golden", "snowy"]
Style = Literal["flat", "watercolor", "pixel art"]
Side = Literal["left", "center", "right"]
TreeKind = Literal["round", "pine"]

SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
SIZES: Final[tuple[Size, ...]] = get_args(Size)
PLACES: Final[tuple[Place, ...]] = get_args(Place)
BACKGROUND_KINDS: Final[tuple[BackgroundKind, ...]] = get_args(BackgroundKind)
SIDES: Final[tuple[Side, ...]] = get_args(Side)
COLOUR_NAMES: Final[tuple[str, ...]] = tuple(COLOURS)
ROOF_COLOURS: Final = ("red", "blue", "orange", "brown")
SAIL_COLOURS: Final = ("white", "red", "yellow", "orange")

_HELD_OUT_SHARE: Final = 0.10


@dataclass(frozen=True)
class Background:
    """What lies behind the objects: one colour when plain, two otherwise.

    The first colour of a gradient is at the top; the first colour of a dotted background is the
    ground under the dots.
    """

    kind: BackgroundKind
    colours: tuple[str, ...]


@dataclass(frozen=True)
class ShapeObject:
    """One coloured shape at one of nine places."""

    shape: Shape
    colour: str
    size: Size
    place: Place


@dataclass(frozen=True)
class ShapeScene:
    """None, one or two coloured shapes before a background."""

    background: Background
    objects: tuple[ShapeObject, ...]

    @property
    def relation(self) -> Relation | None:
        """How the first of two objects lies to the second; None for fewer objects."""
        if len(self.objects) < 2:
            return None
        return "left-right" if self.objects[0].place == "left" else "above-below"


@dataclass(frozen=True)
class House:
    """A house on the land, with the colour of its roof."""

    roof: str
    side: Side


@dataclass(frozen=True)
class Boat:
    """A sailing boat on the water, with the colour of its sails."""

    sail: str
    side: Side


@dataclass(frozen=True)
class Trees:
    """One tree or a few of one kind."""

    kind: TreeKind
    several: bool


@dataclass(frozen=True)
class Sky:
    """What the sky holds; the light is the sun by day and at sunset and the moon at night."""

    light: Side | None
    stars: bool
    clouds: bool


@dataclass(frozen=True)
class WorldScene:
    """A landscape under a sky at a time of day, painted in a style."""

    time: Time
    ground: Ground
    land: Land
    style: Style
    sky: Sky
    house: House | None
    boat: Boat | None
    trees: Trees | None


Scene = ShapeScene | WorldScene


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of scene; each tuple holds relative weights.

    `backgrounds` follows BACKGROUND_KINDS, `objects` counts none, one and two, `sizes` follows
    SIZES, `world` is a probability.
    """

    world: float
    backgrounds: tuple[float, float, float, float, float]
    objects: tuple[float, float, float]
    sizes: tuple[float, float, float]


EASY: Final = Mix(
    world=0.25,
    backgrounds=(0.92, 0.02, 0.02, 0.02, 0.02),
    objects=(0.02, 0.92, 0.06),
    sizes=(0.06, 0.47, 0.47),
)
FULL: Final = Mix(
    world=0.35,
    backgrounds=(0.62, 0.12, 0.09, 0.10, 0.07),
    objects=(0.03, 0.72, 0.25),
    sizes=(0.30, 0.35, 0.35),
)


def sample_scene(rng: random.Random, mix: Mix) -> Scene:
    """Draw a scene by lot; a held-out combination never comes."""
    if rng.random() < mix.world:
        return sample_world(rng)
    scene = sample_shapes(rng, mix)
    while is_held_out(scene):
        scene = sample_shapes(rng, mix)
    return scene


def is_held_out(scene: Scene) -> bool:
    """Say whether training never shows this scene's shape, colour and background together.

    About one in ten combinations of a single object before a plain background is held out; the
    choice is a hash of the three names, equal on every machine.
    """
    if isinstance(scene, WorldScene) or scene.background.kind != "plain":
        return False
    if len(scene.objects) != 1:
        return False
    only = scene.objects[0]
    name = f"{only.shape}/{only.colour}/{scene.background.colours[0]}"
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < _HELD_OUT_SHARE * 2**32


def sample_shapes(rng: random.Random, mix: Mix) -> ShapeScene:
    """Draw a scene of shapes by lot; held-out combinations come too."""
    background = sample_background(rng, mix)
    free = [name for name in COLOUR_NAMES if name not in background.colours]
    count = rng.choices((0, 1, 2), mix.objects)[0]
    places: tuple[Place, ...] = (rng.choice(PLACES),)[:count]
    sizes = rng.choices(SIZES, mix.sizes, k=count)
    if count == 2:
        places = ("left", "right") if rng.random() < 0.5 else ("top", "bottom")
        sizes = ["medium" if size == "large" else size for size in sizes]
    objects = tuple(
        ShapeObject(rng.choice(SHAPES), rng.choice(free), size, place)
        for size, place in zip(sizes, places, strict=True)
    )
    return ShapeScene(background, objects)


def sample_background(rng: random.Random, mix: Mix) -> Background:
    """Draw a background by lot."""
    kind = rng.choices(BACKGROUND_KINDS, mix.backgrounds)[0]
    return Background(kind, tuple(rng.sample(COLOUR_NAMES, 1 if kind == "plain" else 2)))


def sample_world(rng: random.Random) -> WorldScene:
    """Draw a landscape by lot."""
    time = rng.choice(get_args(Time))
    ground: Ground = rng.choices(get_args(Ground), (0.34, 0.16, 0.26, 0.24))[0]
    land: Land = rng.choices(get_args(Land), (0.6, 0.2, 0.2))[0]
    style: Style = rng.choices(get_args(Style), (0.5, 0.28, 0.22))[0]
    house, boat, trees = None, None, None
    light = rng.choice(SIDES)
    if ground != "sea":
        house = _sample_house(rng, light) if rng.random() < 0.6 else None
        trees = _sample_trees(rng) if rng.random() < 0.5 else None
    if ground in ("sea", "bay") and rng.random() < (0.8 if ground == "sea" else 0.6):
        boat = _sample_boat(rng, house, light)
    return WorldScene(time, ground, land, style, _sample_sky(rng, time, light), house, boat, trees)


def _sample_house(rng: random.Random, light: Side) -> House:
    """Never under the sun, which a roof would hide when the sun is low."""
    return House(rng.choice(ROOF_COLOURS), rng.choice([side for side in SIDES if side != light]))


def _sample_boat(rng: random.Random, house: House | None, light: Side) -> Boat:
    taken = (light, None if house is None else house.side)
    free = [side for side in SIDES if side not in taken]
    return Boat(rng.choice(SAIL_COLOURS), rng.choice(free))


def _sample_trees(rng: random.Random) -> Trees:
    return Trees(rng.choice(get_args(TreeKind)), rng.random() < 0.55)


def _sample_sky(rng: random.Random, time: Time, side: Side) -> Sky:
    light = side if rng.random() < 0.75 else None
    stars = time == "night" and (light is None or rng.random() < 0.7)
    return Sky(light, stars, clouds=rng.random() < (0.3 if stars else 0.5))
