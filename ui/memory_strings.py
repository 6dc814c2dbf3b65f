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
SUBJECTS: Final = {
    "attention": "Attention",
    "block": "Layers",
    "product": "int8 products",
    "threads": "Processor threads",
}


def gigabytes(size: int) -> str:
    """Write a size of memory."""
    return f"{size / 2**30:.1f}"


def seconds(count: float) -> str:
    """Say how long something takes."""
    if count >= 90:
        return f"about {count / 60:.0f} min"
    return f"about {count:.0f} s" if count >= 1 else "under a second"


def fits(needed: int, budget: int, words: str) -> str:
    """Say that a job fits; words: how long it takes, empty where that is not known."""
    room = f"Fits: {gigabytes(needed)} of {gigabytes(budget)} GB"
    return f"{room}, {words}" if words else room


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
