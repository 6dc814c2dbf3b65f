"""What the profiles of `Profile` mean here, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from engine.settings import Profile


class Pinned(Enum):
    """What may be page-locked in the computer's memory.

    ALL: every streamed piece. TRANSFORMER: all but the text encoder's. NOTHING: pieces are read
    from the disk.
    """

    ALL = auto()
    TRANSFORMER = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a profile allows.

    residents: whether pieces may stay on the graphics card. pinned: see `Pinned`. keep_encoder:
    whether the text encoder may stay in some memory once the prompt is read.
    """

    residents: bool = True
    pinned: Pinned = Pinned.ALL
    keep_encoder: bool = True


TRAITS: Final[Mapping[Profile, Traits]] = MappingProxyType(
    {
        Profile.AUTO: Traits(),
        Profile.HIGH_RAM_HIGH_VRAM: Traits(),
        Profile.HIGH_RAM_LOW_VRAM: Traits(residents=False),
        Profile.LOW_RAM_HIGH_VRAM: Traits(pinned=Pinned.TRANSFORMER, keep_encoder=False),
        Profile.LOW_RAM_LOW_VRAM: Traits(
            residents=False, pinned=Pinned.TRANSFORMER, keep_encoder=False
        ),
        Profile.VERY_LOW_RAM_LOW_VRAM: Traits(
            residents=False, pinned=Pinned.NOTHING, keep_encoder=False
        ),
    }
)
"""AUTO is bound by what is there alone, and so is the first, which says that there is plenty."""
