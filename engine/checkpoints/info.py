"""Describes a model file or folder from its headers alone, for people and for scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engine.checkpoints.accounting import check_part
from engine.checkpoints.checkpoint import Checkpoint, Part
from engine.checkpoints.files import label
from engine.checkpoints.identity import identify
from engine.checkpoints.look import look
from engine.checkpoints.open import NO_HINTS, Hints, open_found
from engine.checkpoints.recognise import Role
from engine.errors import UserError

MODEL: Final = "model"
_ALONE: Final = "It is one part of a model; pictures need a transformer too."
_ORDER: Final = (Role.TRANSFORMER, Role.TEXT_ENCODER, Role.VAE, Role.VISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What a model file or folder is.

    part: "model" where all networks are there, else which ones. variant: None where nothing tells.
    dialect: whose names the weights have, behind `prefix`; several where parts differ. precision:
    number types by group of weights. size: bytes. problems: why it cannot be painted with as it is.
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


def describe(path: Path, hints: Hints = NO_HINTS) -> ModelFile:
    """Describe a model, or a file of one; raise `FileRejected` for a stranger.

    Only headers and configurations are read. Of a file, what it holds itself is described; of a
    folder, all that is painted with.
    """
    found = look(path)
    problems: list[str] = []
    checkpoint = None
    if Role.TRANSFORMER not in found.parts:
        problems.append(_ALONE)
    else:
        try:
            checkpoint = open_found(path, found, hints)
        except UserError as error:
            problems.append(str(error))
    parts = dict(found.parts)
    if checkpoint is not None and path.is_dir():
        parts = _parts(checkpoint)
    problems += [_problem(role, part) for role, part in parts.items()]
    headers = {header.path: header for part in parts.values() for header in part.headers}
    return ModelFile(
        name=label(path),
        part=MODEL
        if checkpoint is not None and _parts(checkpoint).keys() <= parts.keys()
        else ", ".join(role.value for role in parts),
        variant=_variant(path, parts, checkpoint, hints),
        dialect=", ".join(sorted({part.dialect for part in parts.values()})),
        prefix=", ".join(part.prefix for part in _ordered(parts) if part.prefix),
        precision=dict(_precision(parts)),
        tensors=sum(len(header.tensors) for header in headers.values()),
        size=sum(header.size for header in headers.values()),
        problems=tuple(dict.fromkeys(filter(None, problems))),
    )


def _parts(checkpoint: Checkpoint) -> dict[Role, Part]:
    """Return the networks of a model by role."""
    opened = checkpoint.parts
    every = (opened.transformer, opened.text_encoder, opened.vae, opened.vision)
    return {role: part for role, part in zip(_ORDER, every, strict=True) if part is not None}


def _problem(role: Role, part: Part) -> str:
    """Say why a network cannot be built of the weights; nothing where it can."""
    try:
        check_part(role, part)
    except UserError as error:
        return str(error)
    return ""


def _ordered(parts: Mapping[Role, Part]) -> list[Part]:
    return [parts[role] for role in _ORDER if role in parts]


def _variant(
    path: Path, parts: Mapping[Role, Part], checkpoint: Checkpoint | None, hints: Hints
) -> str | None:
    transformer = parts.get(Role.TRANSFORMER)
    if transformer is None:
        return None
    if checkpoint is not None:
        return checkpoint.variant.name if checkpoint.variant_known else None
    identity = identify(transformer, path, None, hints.variant, hints.data)
    return identity.variant.name if identity.is_known else None


def _precision(parts: Mapping[Role, Part]) -> Iterator[tuple[str, str]]:
    """Yield the number types of each group of weights: the first words of their names."""
    for role in _ORDER:
        if role not in parts:
            continue
        folder = f"{role.value.replace(' ', '_')}/" if len(parts) > 1 else ""
        for group, kinds in sorted(_groups(parts[role]).items()):
            yield folder + group, _listed(kinds)


def _groups(part: Part) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name, weight in part.weights.items():
        groups[name.removeprefix(part.prefix).split(".")[0]].append(weight.kind)
    return dict(groups)


def _listed(kinds: Iterable[str]) -> str:
    """List number types, the most frequent first."""
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(sorted(counts, key=lambda kind: (-counts[kind], kind)))
