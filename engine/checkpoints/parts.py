"""Cuts the files of a model into the networks they hold: one each, or all three in one file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from engine.checkpoints.checkpoint import Part
from engine.checkpoints.files import label
from engine.checkpoints.formats import find_weights
from engine.checkpoints.formats.door import Stored
from engine.checkpoints.header import Header, excerpts
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    VISION_DIALECTS,
    Dialect,
    text_encoder_dialect,
)
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected

DIALECTS: Final[Mapping[Role, tuple[Dialect, ...]]] = MappingProxyType(
    {
        Role.TRANSFORMER: TRANSFORMER_DIALECTS,
        Role.TEXT_ENCODER: (text_encoder_dialect(1),),
        Role.VAE: VAE_DIALECTS,
        Role.VISION: VISION_DIALECTS,
    }
)
"""How files name the weights of each network."""

WHOLE_NUMBERS: Final = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})

_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 4096


def parts_of(headers: Sequence[Header]) -> dict[Role, Part]:
    """Return the networks in files that belong together, at least one.

    Raises `FileRejected` saying what the files hold if it is not of Z-Image.
    """
    where = label(headers[0].path)
    counts = Counter(name for header in headers for name in header.tensors)
    if counts and max(counts.values()) > 1:
        raise FileRejected(f"Files in {label(headers[0].path.parent)} hold the same tensor twice.")
    kind = recognise(counts)
    if kind.role is Role.STRANGER:
        raise FileRejected(
            f"{where} is {kind.what}, not a part of Z-Image.",
            "Choose a model of the Z-Image family.",
        )
    prefixes = tuple(prefix for _, prefix in _spoken(counts).values())
    parts = _cut(headers, find_weights([_without_tables(header, prefixes) for header in headers]))
    if not parts:
        raise FileRejected(
            f"{where} is named like {kind.what}, but lacks its first layer.", "Download it again."
        )
    return parts


def _cut(headers: Sequence[Header], weights: Mapping[str, Stored]) -> dict[Role, Part]:
    """Return each network that the names speak of, with the weights behind its prefix."""
    digest = _digest(headers)
    entries = {name: entry for header in headers for name, entry in header.tensors.items()}
    spoken = _spoken(weights)
    prefixes = [prefix for _, prefix in spoken.values()]
    parts = {}
    for role, (dialect, prefix) in spoken.items():
        own = _behind(prefix, prefixes, weights)
        if recognise(name.removeprefix(prefix) for name in own).role is not role:
            continue
        stored = {tensor for weight in own.values() for tensor in weight.tensors.values()}
        parts[role] = Part(
            headers=tuple(headers),
            digest=digest,
            dialect=dialect.name,
            prefix=prefix,
            size=sum(entries[name].end - entries[name].start for name in stored),
            weights=own,
        )
    return parts


def _without_tables(header: Header, prefixes: tuple[str, ...]) -> Header:
    """Leave out whole numbers that are behind none of the prefixes, if there are any of those.

    Files of several models hold such tables: another encoder's tokenizer, say.
    """
    kept = {
        name: entry
        for name, entry in header.tensors.items()
        if not prefixes or entry.dtype not in WHOLE_NUMBERS or name.startswith(prefixes)
    }
    return replace(header, tensors=kept)


def _spoken(names: Iterable[str]) -> dict[Role, tuple[Dialect, str]]:
    """Return the dialect and prefix of each network whose marker is among the names."""
    found = {}
    listed = list(names)
    for role, dialects in DIALECTS.items():
        for dialect in reversed(dialects):
            prefix = dialect.prefix_in(listed)
            if prefix is not None:
                found[role] = dialect, prefix
    return found


def _behind(
    prefix: str, prefixes: Iterable[str], weights: Mapping[str, Stored]
) -> dict[str, Stored]:
    """Return the weights behind a prefix that are not behind a longer one."""
    longer = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
    return {
        name: weight
        for name, weight in weights.items()
        if name.startswith(prefix) and not (longer and name.startswith(longer))
    }


def _digest(headers: Sequence[Header]) -> str:
    digest = hashlib.sha256()
    for header in headers:
        digest.update(header.digest.encode())
        digest.update(_sample(header))
    return digest.hexdigest()


def _sample(header: Header) -> bytes:
    """Read a few pieces spread over a file: enough to tell apart weights of the same shapes."""
    step = max(1, (header.size - header.first_byte) // _SAMPLES)
    length = min(_SAMPLE_BYTES, step)
    starts = range(header.first_byte, header.size, step)
    return b"".join(excerpts(header, [(start, start + length) for start in starts]))
