"""The twelve named colours of the Demo world, and how colours are mixed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RGB = tuple[int, int, int]

COLOURS: Final[Mapping[str, RGB]] = MappingProxyType(
    {
        "red": (216, 44, 48),
        "green": (52, 162, 74),
        "blue": (40, 88, 212),
        "yellow": (250, 216, 56),
        "orange": (245, 134, 36),
        "purple": (132, 62, 182),
        "pink": (246, 146, 192),
        "cyan": (64, 206, 222),
        "white": (248, 248, 246),
        "black": (26, 26, 30),
        "gray": (136, 139, 144),
        "brown": (124, 76, 42),
    }
)

_JITTER: Final = 9


def mixed(first: RGB, second: RGB, share: float) -> RGB:
    """Return the colour that holds `share` (0 to 1) of `second` and the rest of `first`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jittered(colour: RGB, rng: random.Random) -> RGB:
    """Return `colour` moved by at most nine levels of 255 in each channel."""
    red, green, blue = (
        min(255, max(0, level + rng.randint(-_JITTER, _JITTER))) for level in colour
    )
    return red, green, blue


def parted(rng: random.Random) -> random.Random:
    """Return a generator of its own for one part of a picture.

    Two pictures drawn from the same seed then differ only in the parts whose scenes differ.
    """
    return random.Random(rng.getrandbits(64))  # noqa: S311 (a drawing, not a secret)
