"""Where a repainted part meets the picture, there is no steep edge."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from engine.images.feather import ramp
from engine.images.open import open_picture
from engine.images.pixels import pixels_of
from engine.request import Request

PAIRS = [
    ("a large red circle on a blue background", "a small green square on a blue background"),
    ("a yellow star on a green background", "a red circle on a green background"),
    ("a blue triangle on a white background", "a yellow circle on a white background"),
]
FEATHER, INSIDE = 10, 2


def steepness(picture, band) -> float:
    """The mean absolute difference of neighbours in a band [H, W] bool."""
    levels = picture.float()
    down, across = levels[1:, :-1] - levels[:-1, :-1], levels[:-1, 1:] - levels[:-1, :-1]
    return (down.abs() + across.abs()).mean(-1)[band[:-1, :-1]].mean().item()


@pytest.fixture
def ratios(bench, tmp_path):
    """Paint pictures, repaint a disc in each; compare the band around its edge."""
    found = []
    for seed, (before, after) in enumerate(PAIRS):
        request = Request(prompt=before, model="demo-turbo", seed=10 + seed)
        (made,) = bench.run(request).pictures
        mask = Image.new("L", (made.width, made.height))
        box = [made.width // 4, made.height // 4, 3 * made.width // 4, 3 * made.height // 4]
        ImageDraw.Draw(mask).ellipse(box, fill=255)
        mask.save(tmp_path / "mask.png")
        white = pixels_of(mask)[..., 0] > 0
        band = (ramp(white, FEATHER) > 0) & (ramp(~white, INSIDE) > 0)
        changed = {"images": (str(made.path),), "mask": str(tmp_path / "mask.png")}
        (painted,) = bench.run(
            request.with_values(prompt=after, seed=20 + seed, **changed)
        ).pictures
        sides = [pixels_of(open_picture(picture.path)) for picture in (painted, made)]
        found.append(steepness(sides[0], band) / steepness(sides[1], band))
    return found


def test_the_edge_of_a_mask_is_hardly_steeper_than_the_picture_was(ratios):
    assert sum(ratios) / len(ratios) <= 1.5
