"""Every sentence of the page about memory and speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine import Fit, Saving

FITS: Final = {Fit.FITS: "fits", Fit.TIGHT: "fits, slower", Fit.IMPOSSIBLE: "too large"}
STEP_CACHE: Final = "Reuse steps"
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
NOTES: Final = {
    "streamed": "Parts of the model move to the card as they are needed.",
    "from_disk": "Parts of the model are read from the disk at every step.",
    "read_again": "Every new prompt loads the text encoder.",
    "on_host": "The picture is developed piece by piece.",
    "apart": "The pictures are painted one after another.",
}
REMEDIES: Final = {
    "int8": "Choose the precision int8 in Settings.",
    "close_programs": "Close other programs.",
}
OPTIMISE: Final = "Optimise for my PC"
OPTIMISE_INFO: Final = "Tries every way this machine can compute and keeps the fastest. One minute."
OPTIMISING: Final = "Trying every way that this machine has…"
LEAST_SHOWN: Final = 2**30 // 10
SUBJECTS: Final = {
    "block": "Layers",
    "threads": "Processor threads",
}


def truncation(choices: Sequence[Saving]) -> str:
    """Say what stopping guidance early saves and costs."""
    return f"Part of the way after which guidance stops. 1 = never. {_traded(choices)}"


def step_cache(choices: Sequence[Saving]) -> str:
    """Say what reusing steps saves and costs."""
    return f"Skips work where little changes. 0 = off. {_traded(choices)}"


def _traded(choices: Sequence[Saving]) -> str:
    """List what was measured: the share of work saved, and how far pixels were off."""
    at = ", ".join(f"{one.value:g}" for one in choices)
    saved = ", ".join(f"{100 * one.saved:.0f}" for one in choices)
    off = ", ".join(f"{one.difference:.1f}" for one in choices)
    return (
        f"At {at} it saves {saved} % of the work; colours then differ by {off} of 255 (Demo Base)."
    )


def gigabytes(size: int) -> str:
    """Write a size of memory."""
    return f"{size / 2**30:.1f}" if size >= LEAST_SHOWN else "under 0.1"


def seconds(count: float) -> str:
    """Say how long something takes."""
    if count >= 5400:
        return f"about {count / 3600:.0f} h"
    if count >= 90:
        return f"about {count / 60:.0f} min"
    return f"about {count:.0f} s" if count >= 1 else "under a second"


def fits(needed: int, budget: int, words: str) -> str:
    """Say that a job fits; words: how long it takes, empty where that is not known."""
    if words:
        return f"Fits: {gigabytes(needed)} of {gigabytes(budget)} GB, {words}"
    return f"Fits: {gigabytes(needed)} of {gigabytes(budget)} GB"


def tight(needed: int, budget: int, words: str) -> str:
    """Say that a job works, but memory slows it down."""
    return f"{fits(needed, budget, words)}, slower for lack of memory."


def impossible(needed: int, budget: int) -> str:
    """Say that a job cannot be done."""
    return f"Does not fit: needs {gigabytes(needed)} GB, there are {gigabytes(budget)} GB."


def smaller(width: int, height: int) -> str:
    """Name a size that works."""
    return f"{width} × {height} works."


def optimised(seconds: float) -> str:
    """Say that the fastest ways were found."""
    return f"Done in {seconds:.0f} s. The fastest ways are kept."


def way(name: str, seconds: float) -> str:
    """Name a way of computing, and how long it took."""
    return f"{name}: {1000 * seconds:.1f} ms"
