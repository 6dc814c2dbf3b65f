"""Presets for graphics cards: how a model lies in the memory of usual sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import FileRejected
from engine.presets.files import check_choice, check_title, name_of, read_folder, read_object
from engine.request import Precision
from engine.settings import MAX_VRAM_GB, Profile

HARDWARE: Final = "hardware"
"""Folder of the presets for graphics cards, under `presets`."""

_FIELDS: Final = ("title", "vram_gb", "profile", "precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwarePreset:
    """What suits a graphics card with `vram_gb` GB."""

    title: str
    vram_gb: float
    profile: Profile
    precision: Precision


def hardware_presets(folder: Path) -> tuple[tuple[HardwarePreset, ...], tuple[str, ...]]:
    """Return the presets in a folder's JSON files, small cards first, and what to tell of others.

    Never fails: a file that holds something else, and a folder that is not there, hold none.
    """
    found, notices = read_folder(folder, _hardware)
    found.sort(key=lambda preset: (preset.vram_gb, preset.title))
    return tuple(found), notices


def _hardware(path: Path) -> HardwarePreset:
    what = name_of(path)
    values = read_object(path, _FIELDS)
    return HardwarePreset(
        title=check_title(values["title"], what),
        vram_gb=_gigabytes(values["vram_gb"], what),
        profile=check_choice(Profile, values["profile"], what),
        precision=check_choice(Precision, values["precision"], what),
    )


def _gigabytes(value: object, what: str) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    if not 0 < number <= MAX_VRAM_GB:
        raise FileRejected(
            f"{what} has {value!r:.80} GB; must be above 0 and at most {MAX_VRAM_GB:g}."
        )
    return float(number)
