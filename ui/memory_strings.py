"""Every sentence of the page about memory and speed."""

from __future__ import annotations

from typing import Final

MEMORY: Final = "Memory and speed"
PRESET: Final = "My graphics card"
PRESET_INFO: Final = "Fills in what suits a card of that size; save it afterwards."
PROFILE: Final = "Memory profile"
PROFILE_INFO: Final = "RAM is the computer's memory, VRAM the graphics card's."
PROFILES: Final = (
    ("Automatic", "auto"),
    ("1 · much RAM, much VRAM", "1"),
    ("2 · much RAM, little VRAM", "2"),
    ("3 · little RAM, much VRAM", "3"),
    ("4 · little RAM, little VRAM", "4"),
    ("5 · very little RAM, little VRAM", "5"),
)
