"""Where the files of a model lie: diffusers folders, loose parts, and what stands beside a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.checkpoints.files import label, read_object
from engine.checkpoints.header import MAX_TENSORS
from engine.checkpoints.recognise import Role
from engine.errors import FileRejected, NotFound

PIPELINE_FILE: Final = "model_index.json"
SCHEDULER_FILE: Final = "scheduler/scheduler_config.json"
TOKENIZER_FILE: Final = "tokenizer/tokenizer.json"
TRANSFORMER_FILE: Final = "transformer/config.json"
TRANSFORMER_CLASS: Final = "ZImageTransformer2DModel"
WEIGHTS_STEMS: Final = ("diffusion_pytorch_model", "model")
PATCHES_FILE: Final = "siglip_processor/preprocessor_config.json"
SUBFOLDERS: Final = MappingProxyType(
    {
        Role.TRANSFORMER: "transformer",
        Role.VAE: "vae",
        Role.TEXT_ENCODER: "text_encoder",
        Role.VISION: "siglip",
    }
)
"""Where each network lies in a diffusers folder."""

LOOSE_FOLDERS: Final = (
    "text_encoders", "text_encoder", "clip", "clip_vision", "siglip", "vae", "VAE", "Qwen3",
    "diffusion_models", "unet",
)  # fmt: skip
"""Folders that other programs sort loose parts into."""

MAX_TOKENIZER_BYTES: Final = 20_000_000
MAX_LOOSE_FILES: Final = 200
MAX_SHARDS: Final = 200
FEW_FILES: Final = 12
"""A folder of more weight files is a shelf of models."""

_MAX_INDEX_BYTES: Final = 8_000_000
_MAX_INDEX_VALUES: Final = MAX_TENSORS + 100
_ENDING: Final = re.compile(r"\.(safetensors(\.index\.json)?|gguf)$")
_STOCK: Final = re.compile(
    rf"({'|'.join(WEIGHTS_STEMS)})(-[0-9]{{5}}-of-[0-9]{{5}})?\.safetensors(\.index\.json)?"
)
_LOOSE_ENDINGS: Final = (".safetensors", ".sft", ".gguf")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,200}\.safetensors")
_SHARD: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})(\.[a-z]+)")


def is_file(path: Path) -> bool:
    """Say whether a file is there; one whose name or folder forbids the question is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Say whether a folder is there, as `is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_diffusers(path: Path) -> bool:
    """Say whether a folder has the diffusers layout."""
    return is_file(path / PIPELINE_FILE) or is_folder(path / SUBFOLDERS[Role.TRANSFORMER])


def check_family(path: Path) -> None:
    """Raise `FileRejected` if a diffusers folder says that it is of another family."""
    for name, expected in ((PIPELINE_FILE, "ZImage"), (TRANSFORMER_FILE, TRANSFORMER_CLASS)):
        if not is_file(path / name):
            continue
        found = read_object(path / name).get("_class_name", expected)
        if not isinstance(found, str) or not found.startswith(expected):
            raise FileRejected(
                f"{label(path / name)} says that this is {found!r:.80}, not a Z-Image model.",
                "Choose a model of the Z-Image family.",
            )


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a network's weights, as the reference library picks them."""
    try:
        names = {entry.name for entry in folder.iterdir() if _ENDING.search(entry.name)}
    except OSError as error:
        raise NotFound(f"{label(folder)} cannot be read: {error.strerror}.") from error
    for stem in WEIGHTS_STEMS:
        if f"{stem}.safetensors.index.json" in names:
            return _indexed_files(folder / f"{stem}.safetensors.index.json")
        if f"{stem}.safetensors" in names:
            return [folder / f"{stem}.safetensors"]
    if len(names) != 1:
        raise NotFound(
            f"{label(folder)} holds {len(names)} weight files, none of them named "
            f"{' or '.join(WEIGHTS_STEMS)}.",
            "Copy or download the whole folder again.",
        )
    return [folder / names.pop()]


def stock_files(folder: Path) -> list[Path]:
    """Return the files that `weight_files` goes by: whole ones, shards and their indexes."""
    with suppress(OSError):
        return [path for path in folder.iterdir() if _STOCK.fullmatch(path.name)]
    return []


def shards(path: Path) -> list[Path]:
    """Return all files of the network that a file belongs to: `x-00001-of-00003` has sisters."""
    match = _SHARD.fullmatch(path.name)
    if match is None:
        return [path]
    stem, count, ending = match[1], int(match[3]), match[4]
    if not 1 <= count <= MAX_SHARDS:
        raise FileRejected(f"{label(path)} claims to be one of {count} files.")
    return [path.with_name(f"{stem}-{i:05}-of-{count:05}{ending}") for i in range(1, count + 1)]


def loose_files(folder: Path) -> Iterator[list[Path]]:
    """Yield the weight files of a folder, each with its sisters, in order of name."""
    for path in sorted(_loose(folder))[:MAX_LOOSE_FILES]:
        group = shards(path)
        if path == group[0]:
            yield group


def _loose(folder: Path) -> list[Path]:
    # A folder that may not be listed has nothing for us.
    with suppress(OSError):
        return [path for path in folder.iterdir() if path.name.lower().endswith(_LOOSE_ENDINGS)]
    return []


def loose_folders(folder: Path) -> list[Path]:
    """Return a folder, and those in it that other programs sort loose parts into."""
    return [folder, *(folder / name for name in LOOSE_FOLDERS if is_folder(folder / name))]


def folder_of(path: Path) -> Path:
    """Return the folder that a model is, or that its file lies in."""
    return path.absolute() if is_folder(path) else path.absolute().parent


def folders_beside(path: Path) -> list[Path]:
    """Return where the other parts of the model at `path` may lie: in its folder and next to it.

    Shelves of models come last: reading all their headers takes seconds.
    """
    home = folder_of(path)
    around = (home, home.parent, home.parent.parent)
    inner = [folder for place in around for folder in loose_folders(place)[1:]]
    return sorted(
        dict.fromkeys([home, *inner]), key=lambda place: max(FEW_FILES, len(_loose(place)))
    )


def configs_of(file: Path, role: Role) -> Iterator[Path]:
    """Yield the configurations that may belong to a weight file, the most telling first."""
    names = (f"{file.stem}_config.json", f"{file.stem}.json", "config.json")
    places = (*names, f"{SUBFOLDERS[role]}/config.json")
    yield from (path for place in places if is_file(path := file.parent / place))


def schedule_near(folder: Path) -> Path | None:
    """Return the schedule's configuration in a folder of weights, or next to it in diffusers'."""
    places = [folder / "scheduler_config.json", folder / SCHEDULER_FILE]
    if folder.absolute().name == SUBFOLDERS[Role.TRANSFORMER]:
        places.append(folder.absolute().parent / SCHEDULER_FILE)
    return next((place for place in places if is_file(place)), None)


def patches_near(file: Path) -> Path | None:
    """Return what says how pictures are cut for the vision encoder in a file."""
    places = [file.parent / "preprocessor_config.json", file.parent.parent / PATCHES_FILE]
    return next((place for place in places if is_file(place)), None)


def tokenizers_near(folder: Path) -> Iterator[Path]:
    """Yield the tokenizers in a folder and next to it."""
    places = (folder, folder / "tokenizer", folder / "Qwen3", folder.parent / "tokenizer")
    yield from (path for place in places if is_file(path := place / "tokenizer.json"))


def _indexed_files(index: Path) -> list[Path]:
    """Return the files that an index names; each must lie beside it."""
    table = read_object(index, _MAX_INDEX_BYTES, _MAX_INDEX_VALUES).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise FileRejected(f"{label(index)} has no weight_map.", "Download it again.")
    for name in table.values():
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise FileRejected(f"{label(index)} names the file {name!r:.80}.")
    files = [index.parent / name for name in sorted(set(table.values()))]
    missing = [file.name for file in files if not is_file(file)]
    if missing:
        raise NotFound(
            f"{label(index.parent)} lacks {len(missing)} of {len(files)} files: "
            f"{', '.join(missing[:3])}.",
            "Download them again.",
        )
    return files
