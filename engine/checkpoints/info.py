"""Describes a model file or folder from its headers alone, for people and for scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.checkpoints.files import label
from engine.checkpoints.folder import Checkpoint, Part, open_folder
from engine.checkpoints.header import FLOATS, Header, TensorEntry, read_header
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected

ORIGINAL: Final = "original"
DIFFUSERS: Final = "diffusers"
ANCHORS: Final[Mapping[Role, str]] = MappingProxyType(
    {
        Role.TRANSFORMER: "cap_pad_token",
        Role.TEXT_ENCODER: "embed_tokens.weight",
        Role.VAE: "encoder.conv_in.weight",
    }
)
"""A weight that every file of a role holds; what stands before it is the prefix of all."""

_ORIGINAL_NAMES: Final = (".attention.qkv.", "encoder.down.")
_ALONE: Final = "It is one part of a model; pictures need the whole model folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What a model file or folder is.

    part: "model" for a folder, else which network a file holds. variant: None where a file cannot
    tell. dialect: whose names the weights have, behind `prefix`; both where parts differ.
    precision: number types by group of weights. size: bytes. problems: why it cannot be
    painted with as it is.
    """

    name: str
    part: str
    variant: str | None
    dialect: str
    prefix: str
    precision: Mapping[str, str]
    tensors: int
    size: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the description as JSON values, by field name."""
        return asdict(self)


def describe(path: Path) -> ModelFile:
    """Describe a model folder or one of its files; raise `FileRejected` for a stranger.

    Only headers and configurations are read.
    """
    return _of_folder(open_folder(path)) if path.is_dir() else _of_file(read_header(path))


def _of_folder(checkpoint: Checkpoint) -> ModelFile:
    parts = checkpoint.parts
    named = {
        "transformer": parts.transformer,
        "text_encoder": parts.text_encoder,
        "vae": parts.vae,
    }
    precision = {
        f"{part}/{group}": types
        for part, found in named.items()
        for group, types in _precision(_entries(found)).items()
    }
    entries = [entry for part in named.values() for entry in _entries(part).values()]
    return ModelFile(
        name=label(checkpoint.path),
        part="model",
        variant=checkpoint.variant.name,
        dialect=", ".join(sorted({_dialect(_entries(part)) for part in named.values()})),
        prefix="",
        precision=precision,
        tensors=len(entries),
        size=checkpoint.size,
        problems=tuple(_quantised(entries)),
    )


def _of_file(header: Header) -> ModelFile:
    kind = recognise(header.tensors)
    if kind.role is Role.STRANGER:
        raise FileRejected(
            f"{label(header.path)} is {kind.what}, not a part of Z-Image.",
            "Choose a model of the Z-Image family.",
        )
    anchor = ANCHORS[kind.role]
    prefix = next((n.removesuffix(anchor) for n in header.tensors if n.endswith(anchor)), "")
    entries = {name.removeprefix(prefix): entry for name, entry in header.tensors.items()}
    return ModelFile(
        name=label(header.path),
        part=kind.role.value,
        variant=None,
        dialect=_dialect(entries),
        prefix=prefix,
        precision=_precision(entries),
        tensors=len(entries),
        size=header.size,
        problems=(_ALONE, *_quantised(entries.values())),
    )


def _entries(part: Part) -> dict[str, TensorEntry]:
    return {name: entry for header in part.headers for name, entry in header.tensors.items()}


def _dialect(names: Iterable[str]) -> str:
    original = any(mark in name for name in names for mark in _ORIGINAL_NAMES)
    return ORIGINAL if original else DIFFUSERS


def _precision(entries: Mapping[str, TensorEntry]) -> dict[str, str]:
    """Return the number types of each group of weights: the first words of their names."""
    groups = defaultdict(set)
    for name, entry in entries.items():
        groups[name.removeprefix("model.").split(".")[0]].add(entry.dtype)
    return {group: ", ".join(sorted(types)) for group, types in sorted(groups.items())}


def _quantised(entries: Iterable[TensorEntry]) -> list[str]:
    """Say which number types cannot be read, if any."""
    others = sorted({entry.dtype for entry in entries} - FLOATS)
    return [f"Weights stored as {', '.join(others)} are not read yet."] if others else []
