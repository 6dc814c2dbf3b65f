"""Paints with a browser, and works out by other means what must come of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

Point = tuple[float, float]
BRUSH = 64
"""Pixels; what the strokes of a test are wide, unless it says otherwise."""


def snapped(value: float) -> float:
    """Return a place in the picture as the painter notes it: in sixteenths, halves up."""
    return np.floor(value * 16 + 0.5) / 16


def centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixels' centres, for a size of (width, height)."""
    width, height = size
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def stroke(size: tuple[int, int], points: Sequence[Point], diameter: int) -> np.ndarray:
    """Return the pixels whose centres lie within a radius of a line, as booleans [height, width].

    All numbers are multiples of 1/16, so that the products below are exact.
    """
    x, y = centres(size)
    found = np.zeros(x.shape, bool)
    r2 = (diameter / 2) ** 2
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[-1]], strict=True):
        dx, dy = bx - ax, by - ay
        along, length2 = (x - ax) * dx + (y - ay) * dy, dx * dx + dy * dy
        found |= (x - ax) ** 2 + (y - ay) ** 2 <= r2
        found |= (x - bx) ** 2 + (y - by) ** 2 <= r2
        beside = ((x - ax) * dy - (y - ay) * dx) ** 2 <= r2 * length2
        found |= beside & (along > 0) & (along < length2)
    return found


def polygon(size: tuple[int, int], points: Sequence[Point]) -> np.ndarray:
    """Return the pixels whose centres a closed line goes round (winding number not 0)."""
    x, y = centres(size)
    winding = np.zeros(x.shape, int)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay == by:
            continue
        at = ax + (y - ay) * (bx - ax) / (by - ay)
        crosses = ((ay <= y) != (by <= y)) & (at <= x)
        winding += np.where(crosses, 1 if ay < by else -1, 0)
    return winding != 0


def box(size: tuple[int, int], a: Point, b: Point) -> np.ndarray:
    """Return the pixels whose centres lie between two corners."""
    x, y = centres(size)
    across = (x >= min(a[0], b[0])) & (x < max(a[0], b[0]))
    return across & (y >= min(a[1], b[1])) & (y < max(a[1], b[1]))


def picture(path: Path, size: tuple[int, int], **options: Any) -> Path:
    """Write a picture of some pattern."""
    ramp = Image.linear_gradient("L").resize(size)
    Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.ROTATE_180), ramp)).save(
        path, **options
    )
    return path


@dataclass
class Hand:
    """Paints on the one painter of a tab."""

    tab: Page
    inputs: Path

    @property
    def area(self):
        return self.tab.locator(".area")

    def open(self, path: Path, share: str = "×") -> None:
        """Choose a picture, and wait until it is shown and kept."""
        self.tab.locator("[data-field=picture]").set_input_files(path)
        expect(self.tab.locator("[data-share]")).to_contain_text(share)
        expect(self.tab.locator(".painter")).not_to_have_class("painter blank")
        self.set_size(BRUSH)
        self.settle()

    def settle(self) -> None:
        """Wait for the next drawing."""
        self.tab.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")

    def view(self) -> tuple[float, float, float]:
        self.settle()
        x, y, scale = json.loads(self.area.get_attribute("data-view"))
        return x, y, scale

    def place(self, x: float, y: float) -> Point:
        """Return where a place of the window lies in the picture."""
        left, top, scale = self.view()
        at = self.area.evaluate("(e) => [e.getBoundingClientRect().x, e.getBoundingClientRect().y]")
        return snapped((x - at[0] - left) / scale), snapped((y - at[1] - top) / scale)

    def inside(self, *shares: Point) -> list[Point]:
        """Return whole places of the window, given as shares of the canvas."""
        found = self.area.bounding_box()
        return [
            (round(found["x"] + x * found["width"]), round(found["y"] + y * found["height"]))
            for x, y in shares
        ]

    def drag(self, places: Iterable[Point]) -> list[Point]:
        """Draw with the mouse from place to place; return them as places in the picture."""
        first, *others = places
        self.tab.mouse.move(*first)
        self.tab.mouse.down()
        for place in others:
            self.tab.mouse.move(*place)
        self.tab.mouse.up()
        return [self.place(*place) for place in (first, *others)]

    def act(self, name: str) -> None:
        self.tab.locator(f"[data-act={name}]").click()

    def set_size(self, size: int) -> None:
        self.tab.locator("input[type=number][data-field=size]").fill(str(size))

    def send(self) -> dict[str, Any]:
        """Begin a job; return what the server gets: mask, images, regions and extend."""
        told = self.tab.locator("#told textarea")
        before = told.input_value()
        self.tab.locator("#go").click()
        expect(told).not_to_have_value(before)
        count, *values = json.loads(told.input_value())
        assert count > 0
        return dict(zip(("mask", "images", "regions", "extend"), values, strict=True))

    def mask(self) -> np.ndarray:
        """Return the mask that the server gets, as bytes [height, width]."""
        return self.read(self.send()["mask"])

    def read(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.bytes_of(name))).convert("L"))

    def bytes_of(self, name: str) -> bytes:
        return (self.inputs / name.removeprefix("input:")).read_bytes()


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare a mask with what must be painted, to the pixel."""
    wrong = int((found != expected.astype(np.uint8) * 255).sum())
    assert found.shape == expected.shape
    assert expected.any()
    assert wrong == 0, f"{wrong} pixels differ"
