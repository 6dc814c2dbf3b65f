"""Converts a model to bfloat16 or int8: a file to a file, a folder to a folder.

Autoencoders, tokenizers and configurations stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoints.checkpoint import Part
from engine.checkpoints.files import label
from engine.checkpoints.identity import identify
from engine.checkpoints.look import Found, look
from engine.checkpoints.open import stated_shift
from engine.checkpoints.recognise import Role
from engine.checkpoints.rewrite import file_name, write_weights
from engine.errors import BadRequest, FileRejected, NotFound
from engine.storage import link_or_copy, make_folder

ENDING: Final = ".safetensors"
_CONVERTED: Final = (Role.TRANSFORMER, Role.TEXT_ENCODER)
_INDEX: Final = ".safetensors.index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What to convert, to where and to what. force: replace what is there.

    data: folder in which answers to "which variant is this?" are remembered. on_tensor runs before
    each weight; it may raise to cancel.
    """

    source: Path
    goal: Path
    int8: bool
    force: bool = False
    data: Path | None = None
    on_tensor: Callable[[], None] = lambda: None


def convert(wanted: Conversion) -> None:
    """Convert a model; a file appears under its name only when it is whole.

    Raises `BadRequest`, `NotFound`, `FileRejected` or `DiskError`, each with the reason.
    """
    _check_goal(wanted)
    found = look(wanted.source)
    parts, variant = found.parts, _variant(wanted, found)
    if wanted.source.is_dir():
        _convert_folder(wanted, parts, variant)
        return
    if not any(role in parts for role in _CONVERTED):
        raise FileRejected(
            f"{label(wanted.source)} holds only an autoencoder, which stays as it is.",
            "Give the file of a transformer or a text encoder.",
        )
    if wanted.goal.suffix != ENDING:
        raise BadRequest(
            f"{wanted.goal.name!r:.200} does not end in {ENDING}.", f"Call it NAME{ENDING}."
        )
    _write(wanted, wanted.goal, parts, variant)


def _variant(wanted: Conversion, found: Found) -> str | None:
    """Return which variant a model is, if anything says so: what does may not come along."""
    if Role.TRANSFORMER not in found.parts:
        return None
    transformer, shift = found.parts[Role.TRANSFORMER], stated_shift(found)
    identity = identify(transformer, wanted.source, shift, None, wanted.data)
    return identity.variant.name if identity.is_known else None


def _write(wanted: Conversion, path: Path, parts: Mapping[Role, Part], variant: str | None) -> None:
    write_weights(path, parts, int8=wanted.int8, variant=variant, on_tensor=wanted.on_tensor)


def _check_goal(wanted: Conversion) -> None:
    """Refuse a goal that is in the way, that cannot be, or that is the source."""
    source, goal = wanted.source, wanted.goal
    if not source.exists():
        raise NotFound(f"{label(source)} does not exist.", "Give a model's file or folder.")
    inner, outer = goal.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise BadRequest(
            f"{goal} and {source} are the same, or one lies in the other.", "Choose another place."
        )
    if not goal.parent.is_dir():
        raise NotFound(f"The folder {goal.parent} does not exist.", "Create it.")
    if not goal.exists():
        return
    if goal.is_dir() != source.is_dir():
        raise BadRequest(
            f"{goal} is {'a folder' if goal.is_dir() else 'a file'}, unlike {source}.",
            "Convert a file to a file, and a folder to a folder.",
        )
    if not wanted.force:
        raise BadRequest(f"{goal} is there already.", "Add --force to replace it.")


def _convert_folder(wanted: Conversion, parts: Mapping[Role, Part], variant: str | None) -> None:
    """Convert the networks of a folder, and link or copy the rest."""
    done = {role: part for role, part in parts.items() if role in _CONVERTED}
    files = {header.path for part in done.values() for header in part.headers}
    rest = [path for path in _files(wanted.source) if not _belongs(path, files)]
    for role, part in done.items():
        first = part.headers[0].path
        if any(first == header.path for r in parts if r is not role for header in parts[r].headers):
            raise FileRejected(
                f"{label(first)} holds several networks, which cannot be told apart in a folder.",
                "Convert that file by itself.",
            )
        path = wanted.goal / first.parent.relative_to(wanted.source) / file_name(role, first)
        make_folder(path.parent)
        _write(wanted, path, {role: part}, variant)
    for path in rest:
        wanted.on_tensor()
        copy = wanted.goal / path.relative_to(wanted.source)
        make_folder(copy.parent)
        link_or_copy(path, copy)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the plain files of a folder, without those that are hidden."""
    for path in sorted(folder.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _belongs(path: Path, converted: set[Path]) -> bool:
    """Say whether a file is among the `converted` ones, or is the index of their shards."""
    is_index = path.name.endswith(_INDEX) and path.parent in {file.parent for file in converted}
    return path in converted or is_index
