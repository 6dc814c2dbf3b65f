"""The things in a landscape: house, trees and boat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PIL import ImageDraw

from engine.demo.light import Light
from engine.demo.palette import COLOURS, RGB, mixed
from engine.demo.scenes import TreeKind

_WALL: Final[RGB] = (246, 232, 206)
_WOOD: Final[RGB] = (112, 74, 48)
_HULL: Final[RGB] = (132, 72, 44)
_LEAVES: Final[RGB] = (60, 138, 70)
_NEEDLES: Final[RGB] = (36, 108, 78)


@dataclass(frozen=True)
class Stand:
    """Where a thing touches the ground, in pixels, and how long one unit of it is."""

    x: float
    y: float
    unit: float

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        """Place a box given in units around the foot; y grows downwards."""
        return (
            self.x + left * self.unit,
            self.y + top * self.unit,
            self.x + right * self.unit,
            self.y + bottom * self.unit,
        )

    def points(self, *corners: tuple[float, float]) -> list[tuple[float, float]]:
        """Place corners given in units around the foot."""
        return [(self.x + x * self.unit, self.y + y * self.unit) for x, y in corners]


def draw_house(pen: ImageDraw.ImageDraw, stand: Stand, roof: str, light: Light) -> None:
    """Draw a house 40 units wide and 42 high; its windows are lit when the day is over."""
    wall = light.lit(_WALL)
    pen.rectangle(stand.box(8.0, -41.0, 13.0, -28.0), fill=light.lit((176, 112, 92)))
    pen.rectangle(stand.box(-16.0, -22.0, 16.0, 4.0), fill=wall)
    pen.rectangle(stand.box(6.0, -22.0, 16.0, 4.0), fill=mixed(wall, light.tint, 0.12))
    tiles = mixed(COLOURS[roof], light.tint, light.shade * 0.55)
    pen.polygon(
        stand.points((-21.0, -20.0), (-9.0, -38.0), (9.0, -38.0), (21.0, -20.0)), fill=tiles
    )
    pen.rectangle(stand.box(-4.5, -14.0, 4.5, 4.0), fill=light.lit(_WOOD))
    for left in (-13.5, 6.5):
        pen.rectangle(stand.box(left, -16.0, left + 7.0, -8.0), fill=light.lamp)


def draw_tree(pen: ImageDraw.ImageDraw, stand: Stand, kind: TreeKind, light: Light) -> None:
    """Draw a tree some 40 units high, its lit side a little brighter."""
    pen.rectangle(stand.box(-2.2, -14.0, 2.2, 2.0), fill=light.lit(_WOOD))
    if kind == "pine":
        needles = light.lit(_NEEDLES)
        for top, foot, half in ((-44.0, -25.0, 9.0), (-35.0, -16.0, 12.0), (-26.0, -6.0, 15.0)):
            pen.polygon(stand.points((0.0, top), (half, foot), (-half, foot)), fill=needles)
        return
    leaves = light.lit(_LEAVES)
    bright = mixed(leaves, light.halo, 0.22)
    for x, y, radius in ((-6.0, -20.0, 9.5), (7.0, -20.0, 9.0), (0.0, -28.0, 12.0)):
        pen.ellipse(stand.box(x - radius, y - radius, x + radius, y + radius), fill=leaves)
    pen.ellipse(stand.box(-8.5, -36.0, 4.5, -24.0), fill=bright)


def draw_boat(pen: ImageDraw.ImageDraw, stand: Stand, sail: str, light: Light) -> None:
    """Draw a sailing boat 44 units wide and 46 high with its dim mirror image below."""
    cloth = mixed(COLOURS[sail], light.tint, light.shade * 0.45)
    hull = light.lit(_HULL)
    dim = mixed(light.water[1], cloth, 0.35)
    pen.polygon(stand.points((-10.0, 5.0), (14.0, 5.0), (2.0, 22.0)), fill=dim)
    pen.polygon(
        stand.points((-18.0, 2.0), (18.0, 2.0), (14.0, 8.0), (-14.0, 8.0)),
        fill=mixed(light.water[1], hull, 0.5),
    )
    pen.rectangle(stand.box(-1.0, -44.0, 1.0, -6.0), fill=light.lit(_WOOD))
    pen.polygon(stand.points((2.0, -43.0), (20.0, -10.0), (2.0, -10.0)), fill=cloth)
    pen.polygon(
        stand.points((-2.5, -38.0), (-2.5, -10.0), (-16.0, -10.0)),
        fill=mixed(cloth, light.tint, 0.14),
    )
    pen.polygon(stand.points((-22.0, -7.0), (22.0, -7.0), (15.0, 3.0), (-15.0, 3.0)), fill=hull)
