"""Draws the scenes of coloured shapes."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from PIL import Image, ImageDraw

from engine.demo.palette import COLOURS, RGB, jittered, mixed
from engine.demo.scenes import Place, Shape, ShapeObject, ShapeScene, Size

Points = list[tuple[float, float]]

SUPERSAMPLING: Final = 3
MOST_TILT: Final = 7.0

_RADII: Final[Mapping[Size, tuple[float, float]]] = MappingProxyType(
    {"small": (17.0, 19.0), "medium": (24.0, 28.0), "large": (35.0, 40.0)}
)
_PLACE_JITTER: Final = 4.0
_MARGIN: Final = 2.5
_FARTHEST: Final = 1.16
_HOLE: Final = 0.54
_THIRDS: Final = (0.26, 0.5, 0.74)
_CELLS: Final[Mapping[Place, tuple[int, int]]] = MappingProxyType(
    {
        "center": (1, 1),
        "left": (0, 1),
        "right": (2, 1),
        "top": (1, 0),
        "bottom": (1, 2),
        "top left": (0, 0),
        "top right": (2, 0),
        "bottom left": (0, 2),
        "bottom right": (2, 2),
    }
)


@dataclass(frozen=True)
class Pose:
    """Where a shape lies, in pixels, and how far it is turned, in degrees."""

    x: float
    y: float
    radius: float
    tilt: float = 0.0


def length_unit(width: int, height: int) -> float:
    """Return how long one 128th of a side is, in pixels of a picture of this size.

    Between the shorter side and the geometric mean of both, so that a wide picture keeps its
    objects large and still whole.
    """
    return (min(width, height) + math.sqrt(width * height)) / 256.0


def place_centre(place: Place, size: Size, width: int, height: int) -> tuple[float, float]:
    """Return where an object of this size is centred, before jitter, in pixels (x, y)."""
    radius = sum(_RADII[size]) / 2.0 * length_unit(width, height)
    column, row = _CELLS[place]
    x = _inside(_THIRDS[column] * width, radius, width)
    return x, _inside(_THIRDS[row] * height, radius, height)


def shape_mask(shape: Shape, pose: Pose, size: tuple[int, int]) -> Image.Image:
    """Return a mask of mode L and of `size` (width, height): 255 inside the shape, 0 outside."""
    mask = Image.new("L", size, 0)
    pen = ImageDraw.Draw(mask)
    pen.polygon(_placed(_outline(shape), pose), fill=255)
    if shape == "ring":
        pen.polygon(_placed([(x * _HOLE, y * _HOLE) for x, y in _round(48)], pose), fill=0)
    return mask


def draw_shape_scene(scene: ShapeScene, width: int, height: int, rng: random.Random) -> Image.Image:
    """Return an RGB picture of `width` x `height` pixels, anti-aliased."""
    seeds = [rng.getrandbits(64) for _ in range(1 + len(scene.objects))]
    return draw_shapes(scene, seeds, (width, height), crowded=len(scene.objects) == 2)


def draw_shapes(
    scene: ShapeScene, seeds: Sequence[int], size: tuple[int, int], *, crowded: bool
) -> Image.Image:
    """Return an RGB picture of `size` (width, height), anti-aliased.

    seeds: of the background, then of each object; an object keeps its place, angle and shade with
    its seed, whatever else there is. crowded: whether objects leave room for one another.
    """
    large = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    ground, *others = (random.Random(seed) for seed in seeds)  # noqa: S311 (a drawing)
    picture = _background(scene, large, ground)
    for item, own in zip(scene.objects, others, strict=True):
        pose = _pose(item, large, own, crowded=crowded)
        colour = jittered(COLOURS[item.colour], own)
        picture.paste(colour, (0, 0), shape_mask(item.shape, pose, large))
    return picture.reduce(SUPERSAMPLING)


def _pose(item: ShapeObject, size: tuple[int, int], rng: random.Random, *, crowded: bool) -> Pose:
    width, height = size
    unit = length_unit(width, height)
    radius = rng.uniform(*_RADII[item.size]) * unit
    if crowded:
        side = width if item.place in ("left", "right") else height
        radius = min(radius, side / 4.0 / _FARTHEST - _MARGIN * unit)
    column, row = _CELLS[item.place]
    x = _THIRDS[column] * width + rng.uniform(-_PLACE_JITTER, _PLACE_JITTER) * unit
    y = _THIRDS[row] * height + rng.uniform(-_PLACE_JITTER, _PLACE_JITTER) * unit
    pose = Pose(x, y, radius, rng.uniform(-MOST_TILT, MOST_TILT))
    points = _placed(_outline(item.shape), pose)
    return replace(
        pose,
        x=x + _way_in([point[0] for point in points], width, _MARGIN * unit),
        y=y + _way_in([point[1] for point in points], height, _MARGIN * unit),
    )


def _way_in(positions: list[float], side: float, margin: float) -> float:
    """Return how far positions along a side must move to keep the margin on both ends."""
    return max(0.0, margin - min(positions)) - max(0.0, max(positions) - side + margin)


def _inside(position: float, reach: float, side: float) -> float:
    return min(max(position, reach), side - reach)


def _placed(points: Points, pose: Pose) -> Points:
    angle = math.radians(pose.tilt)
    along, across = math.cos(angle) * pose.radius, math.sin(angle) * pose.radius
    return [(pose.x + x * along - y * across, pose.y + x * across + y * along) for x, y in points]


def _round(count: int) -> Points:
    turn = 2.0 * math.pi / count
    return [(math.sin(turn * step), -math.cos(turn * step)) for step in range(count)]


def _outline(shape: Shape) -> Points:
    """Return the corners around the origin; most shapes reach one radius far."""
    match shape:
        case "circle" | "ring":
            return _round(48)
        case "square":
            return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
        case "triangle":
            return [(0.0, -0.98), (1.04, 0.82), (-1.04, 0.82)]
        case "star":
            reaches = (1.16, 0.53)
            return [(x * reaches[i % 2], y * reaches[i % 2]) for i, (x, y) in enumerate(_round(10))]
        case "diamond":
            return [(0.0, -1.12), (0.8, 0.0), (0.0, 1.12), (-0.8, 0.0)]
        case "cross":
            arm, end = 0.34, 1.0
            corner = [(arm, -end), (arm, -arm), (end, -arm)]
            quarters = [corner]
            for _ in range(3):
                quarters.append([(-y, x) for x, y in quarters[-1]])
            return [point for quarter in quarters for point in quarter]
        case "heart":
            return _heart(48)


def _heart(count: int) -> Points:
    turn = 2.0 * math.pi / count
    points = []
    for step in range(count):
        t = turn * step
        x = 16.0 * math.sin(t) ** 3
        y = 13.0 * math.cos(t) - 5.0 * math.cos(2 * t) - 2.0 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 15.2, (-y - 2.5) / 15.2))
    return points


def _background(scene: ShapeScene, size: tuple[int, int], rng: random.Random) -> Image.Image:
    colours = [jittered(COLOURS[name], rng) for name in scene.background.colours]
    picture = Image.new("RGB", size, colours[0])
    unit = length_unit(*size)
    pen = ImageDraw.Draw(picture)
    match scene.background.kind:
        case "plain":
            pass
        case "striped":
            _stripes(pen, size, colours[1], rng.choice((9.0, 12.0, 16.0)) * unit, rng)
        case "checkered":
            _checks(pen, size, colours[1], round(rng.choice((12.8, 16.0, 21.4)) * unit))
        case "gradient":
            return _gradient(size, colours)
        case "dotted":
            _dots(pen, size, colours[1], rng.choice((18.0, 22.0, 26.0)) * unit)
    return picture


def _stripes(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], colour: RGB, band: float, rng: random.Random
) -> None:
    width, height = size
    angle = rng.choice((0.0, math.pi / 4.0, math.pi / 2.0))
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    reach = math.hypot(width, height)
    start = -reach / 2.0 + rng.uniform(0.0, 2.0 * band)
    while start < reach / 2.0:
        corners = ((start, -reach), (start + band, -reach), (start + band, reach), (start, reach))
        pen.polygon(
            [
                (
                    width / 2 + a * along[0] + b * across[0],
                    height / 2 + a * along[1] + b * across[1],
                )
                for a, b in corners
            ],
            fill=colour,
        )
        start += 2.0 * band


def _checks(pen: ImageDraw.ImageDraw, size: tuple[int, int], colour: RGB, side: int) -> None:
    for row in range(-(-size[1] // side)):
        for column in range(row % 2, -(-size[0] // side), 2):
            x, y = column * side, row * side
            pen.rectangle((x, y, x + side - 1, y + side - 1), fill=colour)


def _dots(pen: ImageDraw.ImageDraw, size: tuple[int, int], colour: RGB, step: float) -> None:
    radius = step * 0.27
    for row in range(int(size[1] / step) + 2):
        shift = step / 2.0 if row % 2 else 0.0
        for column in range(int(size[0] / step) + 2):
            x, y = column * step + shift, row * step
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _gradient(size: tuple[int, int], colours: list[RGB]) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    column.putdata([mixed(colours[0], colours[1], step / 63.0) for step in range(64)])
    return column.resize(size, Image.Resampling.BILINEAR)
