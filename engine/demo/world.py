"""Draws the landscapes: sky, land or sea, and the things on them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from engine.demo.light import Light, light_of
from engine.demo.palette import mixed, parted
from engine.demo.scenes import Boat, Ground, Side, Trees, WorldScene
from engine.demo.shapes import SUPERSAMPLING, length_unit
from engine.demo.things import Stand, draw_boat, draw_house, draw_tree

Line = Callable[[float], float]

_COLUMNS: Final[Mapping[Side, float]] = {"left": 0.24, "center": 0.5, "right": 0.76}
_CLOUDS_BESIDE: Final[Mapping[Side, tuple[float, ...]]] = {
    "left": (0.56, 0.86), "center": (0.14, 0.86), "right": (0.14, 0.44),
}  # fmt: skip
_SLOTS: Final = (0.1, 0.26, 0.42, 0.58, 0.74, 0.9)
_HORIZON: Final[Mapping[Ground, float]] = {
    "hills": 0.6,
    "mountains": 0.62,
    "sea": 0.54,
    "bay": 0.46,
}


@dataclass(frozen=True)
class Stage:
    """The canvas of one landscape: its picture, its lengths in pixels and its colours."""

    picture: Image.Image
    pen: ImageDraw.ImageDraw
    width: int
    height: int
    unit: float
    light: Light
    rng: random.Random

    def part(self) -> Stage:
        """Return the same canvas with a generator of its own, for one part of the landscape."""
        return replace(self, rng=parted(self.rng))


def draw_world_scene(scene: WorldScene, width: int, height: int, rng: random.Random) -> Image.Image:
    """Return a flat RGB picture, SUPERSAMPLING times as wide and high as asked for."""
    size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    light = light_of(scene.time, scene.land, parted(rng))
    picture = _sky(light, size)
    stage = Stage(picture, ImageDraw.Draw(picture), *size, length_unit(*size), light, rng)
    _heavens(stage.part(), scene)
    _grounds(stage.part(), scene)
    return picture


def _sky(light: Light, size: tuple[int, int]) -> Image.Image:
    column = Image.new("RGB", (1, 64), light.sky[2])
    top, middle, horizon = light.sky
    for step in range(38):
        part = step / 37.0 * 2.0
        colour = mixed(top, middle, part) if part < 1.0 else mixed(middle, horizon, part - 1.0)
        column.putpixel((0, step), colour)
    return column.resize(size, Image.Resampling.BILINEAR)


def _heavens(stage: Stage, scene: WorldScene) -> None:
    for_stars, for_disc, for_clouds = stage.part(), stage.part(), stage.part()
    if scene.sky.stars:
        _stars(for_stars)
    if scene.sky.light is not None:
        _disc(for_disc, scene, scene.sky.light)
    if scene.sky.clouds:
        _clouds(for_clouds, scene.sky.light)


def _stars(stage: Stage) -> None:
    rng, unit = stage.rng, stage.unit
    for column in range(5):
        for row in range(3):
            x = (column + rng.uniform(0.15, 0.85)) / 5.0 * stage.width
            y = (row + rng.uniform(0.15, 0.85)) / 3.0 * stage.height * 0.42
            radius = rng.choice((0.9, 1.2, 1.7)) * unit
            stage.pen.ellipse(
                (x - radius, y - radius, x + radius, y + radius), fill=(244, 240, 220)
            )


def _disc_centre(stage: Stage, scene: WorldScene, side: Side) -> tuple[float, float]:
    low = _HORIZON[scene.ground] - 0.13 if scene.ground != "mountains" else 0.15
    row = {"day": 0.2, "sunset": low, "night": 0.18}[scene.time]
    jitter = stage.rng.uniform(-3.0, 3.0) * stage.unit
    return _COLUMNS[side] * stage.width + jitter, row * stage.height


def _disc(stage: Stage, scene: WorldScene, side: Side) -> None:
    x, y = _disc_centre(stage, scene, side)
    unit = stage.unit
    radius = {"day": 11.0, "sunset": 13.0, "night": 12.0}[scene.time] * unit
    reach = round(radius * 3.2)
    glow = Image.radial_gradient("L").point(lambda level: max(0, 150 - level) * 5 // 4)
    glow = glow.resize((2 * reach, 2 * reach), Image.Resampling.BILINEAR)
    stage.picture.paste(stage.light.halo, (round(x) - reach, round(y) - reach), glow)
    ball = Image.new("L", (2 * reach, 2 * reach), 0)
    pen = ImageDraw.Draw(ball)
    pen.ellipse((reach - radius, reach - radius, reach + radius, reach + radius), fill=255)
    if scene.time == "night":
        bite, shift = radius * 0.86, radius * 0.55
        left, top = reach + shift - bite, reach - shift * 0.45 - bite
        pen.ellipse((left, top, left + 2.0 * bite, top + 2.0 * bite), fill=0)
    stage.picture.paste(stage.light.disc, (round(x) - reach, round(y) - reach), ball)


def _clouds(stage: Stage, light: Side | None) -> None:
    rng = stage.rng
    small = (stage.width // SUPERSAMPLING, stage.height // SUPERSAMPLING)
    mask = Image.new("L", small, 0)
    pen = ImageDraw.Draw(mask)
    unit = stage.unit / SUPERSAMPLING
    columns = (0.18, 0.5, 0.82) if light is None else _CLOUDS_BESIDE[light]
    for column in columns:
        x = (column + rng.uniform(-0.04, 0.04)) * small[0]
        y = rng.uniform(0.1, 0.3) * small[1]
        scale = rng.uniform(0.8, 1.2) * unit
        for dx, dy, radius in ((-9.0, 1.5, 5.0), (-1.0, -2.5, 7.5), (8.0, 1.0, 5.5)):
            reach = radius * scale
            left, top = x + dx * scale - reach, y + dy * scale - reach
            pen.ellipse((left, top, left + 2.0 * reach, top + 2.0 * reach), fill=235)
        pen.rounded_rectangle(
            (x - 15.0 * scale, y, x + 15.0 * scale, y + 6.5 * scale), 3.2 * scale, fill=235
        )
    mask = mask.filter(ImageFilter.GaussianBlur(0.9 * unit))
    mask = mask.resize((stage.width, stage.height), Image.Resampling.BILINEAR)
    stage.picture.paste(stage.light.cloud, (0, 0), mask)


def _grounds(stage: Stage, scene: WorldScene) -> None:
    for_water, for_boat, for_land, for_things = (stage.part() for _ in range(4))
    if scene.ground in ("sea", "bay"):
        _sea(for_water, scene)
    if scene.boat is not None:
        _boat(for_boat, scene, scene.boat)
    if scene.ground == "mountains":
        _mountains(for_land.part())
    if scene.ground != "sea":
        _things(for_things, scene, _hills(for_land, scene.ground))


def _boat(stage: Stage, scene: WorldScene, boat: Boat) -> None:
    row, size = (0.76, 1.05) if scene.ground == "sea" else (0.585, 0.72)
    x = _COLUMNS[boat.side] * stage.width + stage.rng.uniform(-4.0, 4.0) * stage.unit
    draw_boat(stage.pen, Stand(x, row * stage.height, size * stage.unit), boat.sail, stage.light)


def _sea(stage: Stage, scene: WorldScene) -> None:
    top = round(_HORIZON[scene.ground] * stage.height)
    column = Image.new("RGB", (1, 32))
    column.putdata([mixed(*stage.light.water, step / 31.0) for step in range(32)])
    water = column.resize((stage.width, stage.height - top), Image.Resampling.BILINEAR)
    stage.picture.paste(water, (0, top))
    glint = mixed(stage.light.water[0], stage.light.sky[2], 0.6)
    rng, unit = stage.rng, stage.unit
    for row in range(6):
        y = top + (row + 0.7) ** 1.35 / 6.7**1.35 * (stage.height - top)
        for column_index in range(2):
            x = (column_index + rng.random()) / 2.0 * stage.width
            half, thick = rng.uniform(5.0, 9.0) * unit, (0.5 + 0.12 * row) * unit
            stage.pen.ellipse((x - half, y - thick, x + half, y + thick), fill=glint)
    if scene.sky.light is not None:
        _mirrored_light(stage, scene.sky.light, top)


def _mirrored_light(stage: Stage, side: Side, top: int) -> None:
    unit, x = stage.unit, _COLUMNS[side] * stage.width
    colour = mixed(stage.light.disc, stage.light.water[0], 0.15)
    for row in range(7):
        y = top + (2.5 + row * 5.0) * unit
        half = (13.0 - abs(row - 2.0) * 1.6) * unit
        drift = (1.5 if row % 2 else -1.5) * unit
        stage.pen.ellipse(
            (x + drift - half, y - 1.1 * unit, x + drift + half, y + 1.1 * unit), fill=colour
        )


def _mountains(stage: Stage) -> None:
    rng = stage.rng
    rock, snow = stage.light.peaks
    foot = 0.72 * stage.height
    shift = rng.uniform(-0.05, 0.05)
    for column, peak, half in ((0.14, 0.36, 0.32), (0.84, 0.34, 0.34), (0.48, 0.28, 0.36)):
        x = (column + shift) * stage.width
        y = (peak + rng.uniform(-0.03, 0.03)) * stage.height
        reach = half * stage.width
        stage.pen.polygon([(x, y), (x + reach, foot), (x - reach, foot)], fill=rock)
        stage.pen.polygon(
            [(x, y), (x + reach, foot), (x + reach * 0.2, foot)],
            fill=mixed(rock, stage.light.tint if stage.light.shade else (60, 70, 110), 0.18),
        )
        cap = 0.36
        low = y + (foot - y) * cap
        points = [(x, y), (x + reach * cap, low), (x + reach * cap * 0.45, low - (low - y) * 0.22)]
        points += [
            (x + reach * 0.04, low + (low - y) * 0.12),
            (x - reach * cap * 0.4, low - (low - y) * 0.25),
            (x - reach * cap, low),
        ]
        stage.pen.polygon(points, fill=snow)


def _hills(stage: Stage, ground: Ground) -> Line:
    """Draw the layers of land from far to near and return the edge that things stand on."""
    layers = [(0.60, 0.045, 0), (0.70, 0.045, 1), (0.84, 0.035, 2)]
    if ground == "bay":
        layers = [(0.77, 0.025, 1), (0.89, 0.025, 2)]
    edges = []
    for row, swing, tone in layers:
        edge = _wave(stage, row, swing)
        steps = [stage.width * step / 24.0 for step in range(25)]
        outline = [(x, edge(x)) for x in steps]
        outline += [(float(stage.width), float(stage.height)), (0.0, float(stage.height))]
        stage.pen.polygon(outline, fill=stage.light.lands[tone])
        edges.append(edge)
    return edges[-2]


def _wave(stage: Stage, row: float, swing: float) -> Line:
    phase = stage.rng.uniform(0.0, 2.0 * math.pi)
    pace = stage.rng.uniform(0.8, 1.25) * 2.0 * math.pi / stage.width

    def edge(x: float) -> float:
        wave = math.sin(pace * x + phase) + 0.35 * math.sin(2.1 * pace * x + 2.0 * phase)
        return stage.height * (row + swing * wave)

    return edge


def _things(stage: Stage, scene: WorldScene, edge: Line) -> None:
    size = (0.76 if scene.ground == "bay" else 1.05) * stage.unit
    lower = 0.05 * stage.height
    if scene.trees is not None:
        grove = stage.part()
        for column in _tree_columns(scene, scene.trees, grove.rng):
            x = (column + grove.rng.uniform(-0.02, 0.02)) * stage.width
            scale = size * grove.rng.uniform(0.88, 1.1)
            draw_tree(stage.pen, Stand(x, edge(x) + lower, scale), scene.trees.kind, stage.light)
    if scene.house is not None:
        x = _COLUMNS[scene.house.side] * stage.width
        draw_house(stage.pen, Stand(x, edge(x) + lower, size), scene.house.roof, stage.light)


def _tree_columns(scene: WorldScene, trees: Trees, rng: random.Random) -> list[float]:
    """Choose where trees stand: beside the house, and rather not before a low sun or the boat."""
    count = 3 if trees.several else 1
    house = None if scene.house is None else _COLUMNS[scene.house.side]
    free = [column for column in _SLOTS if house is None or abs(column - house) > 0.2]
    hidden = [scene.sky.light] if scene.sky.light is not None and scene.time == "sunset" else []
    if scene.boat is not None:
        hidden.append(scene.boat.side)
    clear = [
        column for column in free if all(abs(column - _COLUMNS[side]) > 0.1 for side in hidden)
    ]
    return rng.sample(clear if len(clear) >= count else free, count)
