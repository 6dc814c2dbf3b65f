"""Converts a model to bfloat16 or int8: a file to a file, a folder to a folder.

Autoencoders, tokenizers and configurations stay as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.checkpoints import layout
from engine.checkpoints.checkpoint import Part
from engine.checkpoints.files import label
from engine.checkpoints.identity import identify
from engine.checkpoints.look import Found, candidates, look
from engine.checkpoints.open import stated_shift
from engine.checkpoints.recognise import Role
from engine.checkpoints.rewrite import write_weights
from engine.errors import BadRequest, DiskError, FileRejected, NotFound
from engine.storage import atomic_folder, link_or_copy, make_folder, sweep_temporary

ENDING: Final = ".safetensors"
_CONVERTED: Final = MappingProxyType(
    {Role.TRANSFORMER: layout.WEIGHTS_STEMS[0], Role.TEXT_ENCODER: layout.WEIGHTS_STEMS[1]}
)
"""What is converted, and what its file is called in a diffusers folder."""

_SHARD: Final = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")


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


@dataclass(frozen=True, slots=True)
class _File:
    """A file to be written: its place in the goal, and what it is to hold."""

    place: Path
    parts: Mapping[Role, Part]


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
    source, goal = wanted.source, wanted.goal
    files = list(_networks(source, parts))
    done = {
        header.path for file in files for part in file.parts.values() for header in part.headers
    }
    passed_by = done | set(_companions(source, done))
    rest = [path.relative_to(source) for path in _files(source) if path not in passed_by]
    places = [*(file.place for file in files), *rest]
    _check_places(goal, places)
    replaces_model = layout.is_diffusers(source) and layout.is_diffusers(goal)
    sweep_temporary(goal.parent)
    with atomic_folder(goal) as build:
        for file in files:
            make_folder((build / file.place).parent)
            _write(wanted, build / file.place, file.parts, variant)
        for place in rest:
            wanted.on_tensor()
            make_folder((build / place).parent)
            link_or_copy(source / place, build / place)
    if replaces_model:
        _clear(goal, {goal / place for place in places})


def _networks(source: Path, parts: Mapping[Role, Part]) -> Iterator[_File]:
    """Yield the files that are to hold the converted networks of a folder."""
    if layout.is_diffusers(source):
        for role, stem in _CONVERTED.items():
            if role in parts:
                place = Path(layout.SUBFOLDERS[role], stem + ENDING)
                yield _File(place, {role: parts[role]})
        return
    for folder in layout.loose_folders(source):
        for found in candidates(folder):
            if isinstance(found, Mapping) and _CONVERTED.keys() & found.keys():
                first = next(iter(found.values())).headers[0].path
                name = _SHARD.sub("", first.stem) + ENDING
                yield _File(first.with_name(name).relative_to(source), found)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the plain files of a folder, without those that are hidden."""
    for path in sorted(folder.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _companions(source: Path, converted: Collection[Path]) -> Iterator[Path]:
    """Yield what is of no use beside converted files: their indexes, other copies of the same."""
    for folder in {path.parent for path in converted}:
        if layout.is_diffusers(source):
            yield from layout.stock_files(folder)
        else:
            yield from folder.glob(f"*{ENDING}.index.json")


def _check_places(goal: Path, places: Sequence[Path]) -> None:
    """Refuse two files of one name, and folders in the goal that are links to others."""
    place, count = Counter(places).most_common(1)[0]
    if count > 1:
        raise FileRejected(
            f"Two files would be called {place}.", "Rename one, or convert a file by itself."
        )
    for folder in {(goal / place).parent for place in places}:
        if not folder.resolve().is_relative_to(goal.resolve()):
            raise BadRequest(f"The folder {folder} leads out of {goal}.", "Choose another place.")


def _clear(goal: Path, written: Collection[Path]) -> None:
    """Remove weights that a reader would take instead of those just written beside them."""
    for name in layout.SUBFOLDERS.values():
        stock = layout.stock_files(goal / name)
        for path in stock if any(path in written for path in stock) else ():
            if path not in written:
                _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise DiskError(
            f"{path} could not be removed: {error.strerror}.",
            "Remove it yourself: it would be read instead of what was written now.",
        ) from error
