"""The colours of the landscapes: a few skies for each time of day, and what they do to the land."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.demo.palette import RGB, jittered, mixed
from engine.demo.scenes import Land, Time


@dataclass(frozen=True)
class Light:
    """The colours of one landscape; `lands`, `water` and `peaks` go from far to near."""

    sky: tuple[RGB, RGB, RGB]
    disc: RGB
    halo: RGB
    cloud: RGB
    lands: tuple[RGB, RGB, RGB]
    peaks: tuple[RGB, RGB]
    water: tuple[RGB, RGB]
    tint: RGB
    shade: float
    lamp: RGB

    def lit(self, colour: RGB) -> RGB:
        """Return a thing's own colour as it looks at this time of day."""
        return mixed(colour, self.tint, self.shade)


_SKIES: Final[Mapping[Time, tuple[tuple[RGB, RGB, RGB], ...]]] = MappingProxyType(
    {
        "day": (
            ((88, 168, 234), (158, 210, 246), (228, 244, 250)),
            ((104, 182, 236), (184, 224, 244), (254, 244, 224)),
            ((72, 156, 220), (146, 206, 238), (216, 240, 242)),
            ((112, 196, 220), (178, 228, 232), (246, 248, 230)),
        ),
        "sunset": (
            ((94, 78, 150), (228, 118, 126), (255, 204, 128)),
            ((72, 88, 160), (220, 130, 156), (255, 196, 146)),
            ((128, 74, 138), (242, 128, 100), (255, 218, 138)),
            ((84, 68, 132), (204, 98, 146), (252, 170, 120)),
        ),
        "night": (
            ((14, 20, 54), (28, 44, 96), (64, 88, 146)),
            ((22, 17, 54), (48, 42, 104), (96, 84, 156)),
            ((9, 26, 52), (20, 58, 94), (56, 108, 138)),
        ),
    }
)
_LANDS: Final[Mapping[Land, tuple[RGB, RGB, RGB]]] = MappingProxyType(
    {
        "green": ((146, 198, 138), (112, 180, 96), (82, 154, 72)),
        "golden": ((238, 212, 138), (232, 188, 88), (214, 158, 58)),
        "snowy": ((206, 222, 238), (226, 236, 246), (246, 249, 252)),
    }
)
_TINTS: Final[Mapping[Time, tuple[RGB, float]]] = MappingProxyType(
    {
        "day": ((255, 250, 230), 0.0),
        "sunset": ((122, 62, 112), 0.34),
        "night": ((16, 26, 74), 0.62),
    }
)
_WATER: Final[Mapping[Time, RGB]] = MappingProxyType(
    {"day": (34, 122, 188), "sunset": (98, 74, 140), "night": (16, 34, 84)}
)
_DISCS: Final[Mapping[Time, tuple[RGB, RGB, RGB]]] = MappingProxyType(
    {
        "day": ((255, 226, 92), (255, 244, 190), (255, 255, 255)),
        "sunset": ((255, 236, 150), (255, 196, 120), (255, 190, 172)),
        "night": ((250, 244, 214), (140, 160, 210), (82, 98, 150)),
    }
)
_HAZE: Final = (0.45, 0.2, 0.0)


def light_of(time: Time, land: Land, rng: random.Random) -> Light:
    """Choose one of the skies of a time of day and shade the land, peaks and water to fit it."""
    top, middle, horizon = (jittered(colour, rng) for colour in rng.choice(_SKIES[time]))
    tint, shade = _TINTS[time]
    disc, halo, cloud = _DISCS[time]
    tones = [mixed(tone, tint, shade) for tone in _LANDS[land]]
    far, mid, near = (mixed(tone, horizon, haze) for tone, haze in zip(tones, _HAZE, strict=True))
    rock = mixed((112, 122, 156), tint, shade)
    snow = mixed((244, 248, 252), tint, shade * 0.7)
    water = _WATER[time]
    return Light(
        sky=(top, middle, horizon),
        disc=disc,
        halo=halo,
        cloud=cloud,
        lands=(far, mid, near),
        peaks=(mixed(rock, horizon, 0.25), mixed(snow, horizon, 0.1)),
        water=(mixed(water, horizon, 0.5), mixed(water, top, 0.2)),
        tint=tint,
        shade=shade,
        lamp=(255, 214, 110) if time != "day" else (146, 196, 226),
    )
