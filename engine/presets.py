"""Presets that users pick, and may add to: small files of JSON, each checked before it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from engine import strict_json
from engine.errors import FileRejected, NotFound
from engine.request import Precision
from engine.settings import MAX_VRAM_GB, Profile
from engine.storage import read_bounded

HARDWARE: Final = "hardware"
"""Folder of the presets for graphics cards, under `presets`."""

MAX_FILES: Final = 100
MAX_FILE_BYTES: Final = 16 * 1024
MAX_TITLE: Final = 80

_FIELDS: Final = {"title", "vram_gb", "profile", "precision"}

Choice = TypeVar("Choice", bound=StrEnum)


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
    found: list[HardwarePreset] = []
    notices: list[str] = []
    for path in _files(folder, notices):
        try:
            found.append(_hardware(path))
        except (FileRejected, NotFound) as error:
            notices.append(f"{error.message} It is left out.")
    found.sort(key=lambda preset: (preset.vram_gb, preset.title))
    return tuple(found), tuple(notices)


def _files(folder: Path, notices: list[str]) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError:
        return []
    if len(paths) > MAX_FILES:
        notices.append(f"The folder {folder.name} holds more than {MAX_FILES} presets.")
    return paths[:MAX_FILES]


def _hardware(path: Path) -> HardwarePreset:
    what = f"The preset {path.name!r:.80}"
    data = read_bounded(path, MAX_FILE_BYTES)
    values = strict_json.parse(data, what, max_bytes=MAX_FILE_BYTES, max_depth=2)
    if not isinstance(values, dict) or values.keys() != _FIELDS:
        raise FileRejected(f"{what} must hold exactly {', '.join(sorted(_FIELDS))}.")
    return HardwarePreset(
        title=_title(values["title"], what),
        vram_gb=_gigabytes(values["vram_gb"], what),
        profile=_choice(Profile, values["profile"], what),
        precision=_choice(Precision, values["precision"], what),
    )


def _title(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise FileRejected(f"{what} has the title {value!r:.80}, which cannot be shown.")
    if len(value) > MAX_TITLE:
        raise FileRejected(f"{what} has a title of more than {MAX_TITLE} characters.")
    return value


def _gigabytes(value: object, what: str) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    if not 0 < number <= MAX_VRAM_GB:
        raise FileRejected(
            f"{what} has {value!r:.80} GB; must be above 0 and at most {MAX_VRAM_GB:g}."
        )
    return float(number)


def _choice(choices: type[Choice], value: object, what: str) -> Choice:
    if value not in list(choices):
        raise FileRejected(f"{what} has {value!r:.80}; choose one of {', '.join(choices)}.")
    return choices(str(value))
