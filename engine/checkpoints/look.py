"""Looks at a file or folder: which networks, tokenizer and schedule it holds by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.checkpoints import layout
from engine.checkpoints.checkpoint import Part
from engine.checkpoints.configs import Declared
from engine.checkpoints.files import label, read_object
from engine.checkpoints.header import Header, read_header
from engine.checkpoints.parts import parts_of
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected, NotFound, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file or folder holds by itself; the networks by role."""

    parts: Mapping[Role, Part]
    tokenizer: Path | None = None
    scheduler: Path | None = None


Read = Callable[[Path], Header]
"""Gives the header of a file, and raises as `read_header` does."""

_GGUF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "qwen3.block_count": "num_hidden_layers",
        "qwen3.rope.freq_base": "rope_theta",
        "qwen3.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    }
)
"""Fields of a Qwen3's metadata in GGUF files, and what a configuration calls them."""


def look(path: Path, read: Read = read_header) -> Found:
    """Look at a model file, a diffusers folder, or a folder of loose parts, from headers alone.

    Raises `NotFound` if nothing is there, and `FileRejected` saying what it is otherwise.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise NotFound(f"The model {label(path)} cannot be read: {error}.") from None
    if not is_there:
        raise NotFound(f"{label(path)} does not exist.", "Give a model's file or folder.")
    if not is_folder:
        return _in_file(path, read)
    in_folder = _in_diffusers if layout.is_diffusers(path) else _in_loose_parts
    return in_folder(path, read)


def candidates(folder: Path, read: Read = read_header) -> Iterator[Mapping[Role, Part] | UserError]:
    """Yield the networks in each of a folder's files, or why a file cannot be read.

    Files that are none of ours are passed by.
    """
    for paths in layout.loose_files(folder):
        try:
            headers = [read(path) for path in paths]
        except UserError as error:
            yield error
            continue
        try:
            parts = parts_of(headers)
        except UserError:
            continue
        yield parts


def declared(role: Role, part: Part) -> Declared:
    """Return what the configuration beside a network's file says; else what the file itself does.

    Of the formats only GGUF has fields for that, and only those of its language models matter.
    """
    file = part.headers[0].path
    for path in layout.configs_of(file, role):
        values = read_object(path)
        if _subject(values) is role:
            return Declared(values, label(path))
    metadata = part.headers[0].metadata
    stated = {ours: metadata[theirs] for theirs, ours in _GGUF.items() if theirs in metadata}
    return Declared({name: _number(text) for name, text in stated.items()}, label(file))


def _in_file(path: Path, read: Read) -> Found:
    files = layout.shards(path)
    absent = [file.name for file in files if not layout.is_file(file)]
    if absent and len(files) > 1:
        raise NotFound(
            f"{label(path)} is one of {len(files)} files, but {', '.join(absent[:3])} "
            "are not beside it.",
            "Download them again.",
        )
    return Found(
        parts=parts_of([read(file) for file in files]),
        scheduler=layout.schedule_near(path.parent),
    )


def _in_diffusers(path: Path, read: Read) -> Found:
    layout.check_family(path)
    parts = {}
    for role, name in layout.SUBFOLDERS.items():
        folder = path / name
        if layout.is_folder(folder):
            parts[role] = _in_subfolder(folder, role, read)
    tokenizer = path / layout.TOKENIZER_FILE
    return Found(
        parts=parts,
        tokenizer=tokenizer if layout.is_file(tokenizer) else None,
        scheduler=layout.schedule_near(path),
    )


def _in_subfolder(folder: Path, role: Role, read: Read) -> Part:
    headers = [read(path) for path in layout.weight_files(folder)]
    names = [name for header in headers for name in header.tensors]
    kind = recognise(names)
    if kind.role is not role:
        raise FileRejected(
            f"{label(folder)} holds {kind.what}, not the {role} of Z-Image.",
            "Choose a model of the Z-Image family.",
        )
    part = parts_of(headers).get(role)
    if part is None:
        raise FileRejected(
            f"{label(folder)} is named like {kind.what}, but lacks its first layer.",
            "Download it again.",
        )
    return part


def _in_loose_parts(path: Path, read: Read) -> Found:
    """Take the one transformer of a folder; the other parts are chosen among its files later."""
    found: list[Mapping[Role, Part]] = []
    strangers: list[UserError] = []
    for folder in layout.loose_folders(path):
        for files in layout.loose_files(folder):
            try:
                found.append(parts_of([read(file) for file in files]))
            except UserError as error:
                strangers.append(error)
    whole = [parts for parts in found if Role.TRANSFORMER in parts]
    if len(whole) > 1:
        names = [label(parts[Role.TRANSFORMER].headers[0].path) for parts in whole]
        raise FileRejected(
            f"{label(path)} holds {len(whole)} models: {', '.join(names[:3])}.",
            "Give the file of the one you want.",
        )
    if not found and strangers:
        raise strangers[0]
    if not whole:
        reason = f" {strangers[0].message}" if strangers else ""
        raise NotFound(
            f"{label(path)} holds no transformer of Z-Image.{reason}",
            "Give a model's file or folder.",
        )
    return Found(parts=whole[0], scheduler=layout.schedule_near(path))


def _number(text: str) -> int | float | str:
    """Return a number of the metadata; what is none stays text, for the check to refuse."""
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _subject(values: Mapping[str, Any]) -> Role | None:
    """Say which network a configuration describes, by fields that no other one has."""
    if "num_patches" in values or "siglip" in str(values.get("model_type", "")):
        return Role.VISION
    if str(values.get("_class_name", "")).startswith("ZImage") or "cap_feat_dim" in values:
        return Role.TRANSFORMER
    if "block_out_channels" in values:
        return Role.VAE
    return Role.TEXT_ENCODER if "num_hidden_layers" in values else None
