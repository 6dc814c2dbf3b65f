"""What the user chose once for this machine, kept in a small file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine import strict_json
from engine.errors import BadRequest, DiskError, FileRejected, NotFound
from engine.request import Precision
from engine.storage import atomic_write, make_folder, project_root, read_bounded

FILE_NAME = "settings.json"
VERSION = 1
MAX_FILE_BYTES = 256 * 1024
MAX_PATH_CHARACTERS = 4096
MAX_VRAM_GB = 1024.0
MAX_PREVIEW_SECONDS = 60.0
MODELS = "models"
"""Folder inside the data folder: the models that were downloaded, unless they lie elsewhere."""
OUTPUTS = "outputs"

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")


class Profile(StrEnum):
    """How much memory of the computer (RAM) and of the graphics card (VRAM) a model may take.

    AUTO judges by what is there. The others are named as in other programs for small cards.
    """

    AUTO = "auto"
    HIGH_RAM_HIGH_VRAM = "1"
    HIGH_RAM_LOW_VRAM = "2"
    LOW_RAM_HIGH_VRAM = "3"
    LOW_RAM_LOW_VRAM = "4"
    VERY_LOW_RAM_LOW_VRAM = "5"


class Theme(StrEnum):
    """Colours of the page; SYSTEM follows the operating system."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Language(StrEnum):
    """Language of the page; AUTO follows the browser."""

    AUTO = "auto"
    ENGLISH = "en"
    GERMAN = "de"
    CHINESE = "zh"


class FileType(StrEnum):
    """How pictures are saved without a name of their own; only PNG keeps every pixel exactly."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def suffix(self) -> str:
        """End of the names of such files, with its dot."""
        return ".jpg" if self is FileType.JPEG else f".{self}"


class Attention(StrEnum):
    """The kernel that mixes tokens on a CUDA card; AUTO takes the fastest that is exact enough.

    One that is not there, or fails its proof, leaves the work to PyTorch's own.
    """

    AUTO = "auto"
    PYTORCH = "pytorch"
    CUDNN = "cudnn"
    FLASH = "flash"
    SAGE = "sage"


_CHOICES: Mapping[str, type[StrEnum]] = MappingProxyType(
    {
        "precision": Precision,
        "profile": Profile,
        "file_type": FileType,
        "attention": Attention,
        "theme": Theme,
        "language": Language,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The user's choices, checked.

    device: auto, cpu, mps, cuda or cuda:N. vram_gb: GB the model may take, None = what is free.
    profile: how it shares out the computer's memory and the card's.
    output_folder: where the page saves pictures. lora_folder: where adapters are looked for.
    model_folder: where downloads go, None = `MODELS` in the data folder; see `models_folder`.
    metadata: whether pictures carry their recipe. preview_seconds: least time between two looks at
    an unfinished picture, 0 = none. data_dir: where this file, logs and caches lie.
    """

    device: str = "auto"
    precision: Precision = Precision.AUTO
    vram_gb: float | None = None
    profile: Profile = Profile.AUTO
    output_folder: Path = field(default_factory=lambda: project_root() / OUTPUTS)
    lora_folder: Path = field(default_factory=lambda: project_root() / "loras")
    model_folder: Path | None = None
    file_type: FileType = FileType.PNG
    metadata: bool = True
    preview_seconds: float = 0.25
    attention: Attention = Attention.AUTO
    theme: Theme = Theme.SYSTEM
    language: Language = Language.AUTO
    data_dir: Path = field(default_factory=lambda: project_root() / ".studio")

    def __post_init__(self) -> None:
        """Check every value; raise `BadRequest` naming the first bad one and the next step."""
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise BadRequest(
                f"The device {self.device!r:.80} is not known.",
                "Choose auto, cpu, mps, cuda or cuda:N.",
            )
        for name, kind in _CHOICES.items():
            _check_choice(name.replace("_", " "), getattr(self, name), kind)
        _check_vram(self.vram_gb)
        _check_metadata(self.metadata)
        _check_preview(self.preview_seconds)
        if self.model_folder is not None:
            _check_folder("model folder", self.model_folder)
        _check_folder("output folder", self.output_folder)
        _check_folder("LoRA folder", self.lora_folder)
        _check_folder("data folder", self.data_dir)


def load(data_dir: Path) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings kept in a folder, and a notice for each thing that was wrong.

    Never fails: a bad value becomes its default; a damaged file is kept as settings.json.bad and
    the last saved copy, settings.json.bak, takes its place.
    """
    defaults = defaults_in(data_dir)
    try:
        return _from_values(_read(data_dir / FILE_NAME), defaults)
    except NotFound:
        return defaults, ()
    except FileRejected as error:
        return _recover(defaults, error.message)


def save(settings: Settings) -> None:
    """Write the settings to their data folder; unknown keys there stay; raise `DiskError`."""
    path = settings.data_dir / FILE_NAME
    try:
        kept = _read(path)
    except (NotFound, FileRejected):
        # `load` has set a damaged file aside, or will not miss it.
        kept = {}
    chosen = {name: _to_json(getattr(settings, name)) for name in _stored_names()}
    _write(path, {**kept, "version": VERSION, **chosen})


def with_folders(data_dir: Path) -> Settings:
    """Return the defaults of a data folder with the folders that the settings kept there name.

    Every command begins here, so that what the page moved is found without it. Reads the file
    anew; one that cannot be read names no other folders than the usual.
    """
    try:
        kept = _read(data_dir / FILE_NAME)
    except (NotFound, FileRejected):
        kept = {}
    folders = {name: kept[name] for name in kept if name.endswith("_folder")}
    return _from_values(folders, defaults_in(data_dir))[0]


def models_folder(data_dir: Path) -> Path:
    """Return where downloaded models lie, by the settings kept in a data folder."""
    return with_folders(data_dir).model_folder or data_dir / MODELS


def defaults_in(data_dir: Path) -> Settings:
    """Return the defaults; pictures lie in a data folder that is not the program's own."""
    usual = Settings()
    outputs = usual.output_folder if data_dir == usual.data_dir else data_dir / OUTPUTS
    return replace(usual, data_dir=data_dir, output_folder=outputs)


def _read(path: Path) -> dict[str, object]:
    data = read_bounded(path, MAX_FILE_BYTES)
    values = strict_json.parse(data, f"The settings file {path}", max_bytes=MAX_FILE_BYTES)
    if not isinstance(values, dict):
        raise FileRejected(f"The settings file {path} holds no settings.")
    return values


def _write(path: Path, values: dict[str, object]) -> None:
    data = json.dumps(values, indent=2, allow_nan=False).encode()
    make_folder(path.parent)
    atomic_write(path, data)
    atomic_write(_beside(path, ".bak"), data)


def _from_values(values: dict[str, object], defaults: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Take each value that passes the checks, and a notice for each that does not."""
    settings, notices = defaults, []
    version = values.get("version", VERSION)
    if isinstance(version, int) and version > VERSION:
        notices.append("The settings were saved by a newer version of this program.")
    for name in _stored_names():
        if name not in values:
            continue
        change: dict[str, Any] = {name: _from_json(name, values[name])}
        try:
            settings = replace(settings, **change)
        except BadRequest as error:
            notices.append(f"{error.message} The default is used.")
    return settings, tuple(notices)


def _recover(defaults: Settings, problem: str) -> tuple[Settings, tuple[str, ...]]:
    """Set a damaged file aside and go on with the last saved copy, or with the defaults."""
    path = defaults.data_dir / FILE_NAME
    try:
        values = _read(_beside(path, ".bak"))
        said = "The settings saved last are used."
    except (NotFound, FileRejected):
        values = {}
        said = "The defaults are used."
    settings, notices = _from_values(values, defaults)
    return settings, (f"{problem} {said} {_set_aside(path, values)}", *notices)


def _set_aside(path: Path, values: dict[str, object]) -> str:
    bad = _beside(path, ".bad")
    try:
        path.replace(bad)
        if values:
            _write(path, values)
    except (OSError, DiskError) as error:
        return f"The damaged file could not be replaced: {error}"
    return f"The damaged file is kept as {bad.name}."


def _stored_names() -> tuple[str, ...]:
    return tuple(f.name for f in fields(Settings) if f.name != "data_dir")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _to_json(value: object) -> object:
    """Return a JSON value; folders inside the program's own move with it."""
    if not isinstance(value, Path):
        return value
    root = project_root()
    return str(value.relative_to(root) if value.is_relative_to(root) else value)


def _from_json(name: str, value: object) -> object:
    if name.endswith("_folder") and isinstance(value, str):
        return project_root() / value
    if name in _CHOICES and value in list(_CHOICES[name]):
        return _CHOICES[name](str(value))
    return value


def _check_choice(name: str, value: object, choices: type[StrEnum]) -> None:
    if value not in list(choices):
        raise BadRequest(
            f"The {name} {value!r:.80} is not known.", f"Choose one of {', '.join(choices)}."
        )


def _check_vram(value: object) -> None:
    if value is None:
        return
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    # NaN fails every comparison, so it is refused here too.
    if not 0 < number <= MAX_VRAM_GB:
        raise BadRequest(
            f"The memory for the model is {value!r:.80}, but must be above 0 and at most "
            f"{MAX_VRAM_GB:g} GB.",
            "Leave it out to use what is free.",
        )


def _check_metadata(value: object) -> None:
    if not isinstance(value, bool):
        raise BadRequest(
            f"Metadata is {value!r:.80}, but must be on or off.", "Give true or false."
        )


def _check_preview(value: object) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= MAX_PREVIEW_SECONDS:
        raise BadRequest(
            f"The time between previews is {value!r:.80}, but must lie between 0 and "
            f"{MAX_PREVIEW_SECONDS:g} seconds.",
            "0 shows none.",
        )


def _check_folder(name: str, value: object) -> None:
    if not isinstance(value, Path):
        raise BadRequest(f"The {name} must be a path, not {value!r:.80}.")
    if not str(value).isprintable() or len(str(value)) > MAX_PATH_CHARACTERS:
        raise BadRequest(f"The {name} {str(value)!r:.80} is no usable path.")
