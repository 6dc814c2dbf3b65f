"""What the profiles of `Profile` mean here, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.settings import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a profile allows.

    residents: whether pieces may stay on the graphics card. in_memory: whether those that may not
    wait in the computer's memory, rather than on the disk. keep_encoder: whether the text encoder
    may stay in some memory once the prompt is read.
    """

    residents: bool = True
    in_memory: bool = True
    keep_encoder: bool = True


TRAITS: Final[Mapping[Profile, Traits]] = MappingProxyType(
    {
        Profile.AUTO: Traits(),
        Profile.HIGH_RAM_HIGH_VRAM: Traits(),
        Profile.HIGH_RAM_LOW_VRAM: Traits(residents=False),
        Profile.LOW_RAM_HIGH_VRAM: Traits(keep_encoder=False),
        Profile.LOW_RAM_LOW_VRAM: Traits(residents=False, keep_encoder=False),
        Profile.VERY_LOW_RAM_LOW_VRAM: Traits(residents=False, in_memory=False, keep_encoder=False),
    }
)
"""AUTO is bound by what is there alone, and so is the first, which says that there is plenty."""
