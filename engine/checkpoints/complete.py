"""Finds the parts that a model lacks: beside it, then among the models that are installed.

A part is only taken if it fits: an encoder by its width, a tokenizer by its number of tokens, and
whatever else an installed model has only if its encoder fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from engine.checkpoints import layout
from engine.checkpoints.checkpoint import Part, Parts
from engine.checkpoints.files import label
from engine.checkpoints.look import Found, Read, candidates, look
from engine.checkpoints.recognise import Role
from engine.errors import NotFound, UserError
from engine.model.config import LATENT_CHANNELS
from engine.storage import read_bounded

FETCH: Final = "python app.py models download turbo"

_SIDE: Final[Mapping[Role, str]] = MappingProxyType(
    {
        Role.TEXT_ENCODER: "text encoder",
        Role.VAE: "autoencoder",
        Role.VISION: "vision encoder (SigLIP 2)",
    }
)
_USUAL: Final[Mapping[Role, re.Pattern[str]]] = MappingProxyType(
    {
        Role.TEXT_ENCODER: re.compile(r"qwen.?3.?4b", re.IGNORECASE),
        Role.VAE: re.compile(r"^ae\b|flux|z.?image", re.IGNORECASE),
        Role.VISION: re.compile(r"sig.?lip.?2", re.IGNORECASE),
    }
)
"""What the files are usually called: headers cannot tell apart the autoencoders of all families."""

_EXAMPLES: Final = 2
_TOKEN_ID: Final = re.compile(rb'":\s*([0-9]{1,8})\s*[,}]')


class _Widths(NamedTuple):
    """How wide the features are that a transformer takes; sight: None where it takes none."""

    text: int
    sight: int | None

    @property
    def needed(self) -> dict[Role, str]:
        """What the transformer cannot do without, by role."""
        return {role: name for role, name in _SIDE.items() if self.sight or role != Role.VISION}


@dataclass(frozen=True, slots=True)
class _Kit:
    """Parts that lie together, the tokenizers near them, and what is wrong with damaged files."""

    parts: Mapping[Role, Part]
    tokenizers: tuple[Path, ...]
    damage: tuple[str, ...] = ()


def complete(path: Path, found: Found, homes: Iterable[Path], read: Read) -> tuple[Parts, Path]:
    """Return all networks and the tokenizer of the model at `path`; `read` gives a file's header.

    Raises `NotFound` naming each missing part.
    """
    parts, tokenizers, damage = dict(found.parts), list[Path](), list[str]()
    needed = _widths(found).needed
    tokenizer = found.tokenizer if Role.TEXT_ENCODER in parts else None
    for kit in _kits(path, found, homes, read):
        parts = {**kit.parts, **parts}
        tokenizers += kit.tokenizers
        damage += kit.damage
        if tokenizer is None and Role.TEXT_ENCODER in parts:
            tokenizer = _fitting(tokenizers, parts[Role.TEXT_ENCODER])
        if tokenizer is not None and needed.keys() <= parts.keys():
            break
    missing = [name for role, name in needed.items() if role not in parts]
    if missing or tokenizer is None:
        listed = ", ".join([*missing, *(() if tokenizer else ("tokenizer",))])
        raise NotFound(
            f"{label(path)} comes without {listed}, and nothing that fits lies beside it or is "
            f"installed.{''.join(f' {fault}' for fault in damage[:_EXAMPLES])}",
            f"Put what is missing beside it, or get it: {FETCH}",
        )
    return Parts(
        transformer=parts[Role.TRANSFORMER],
        vae=parts[Role.VAE],
        text_encoder=parts[Role.TEXT_ENCODER],
        vision=parts[Role.VISION] if Role.VISION in needed else None,
    ), tokenizer


def _kits(path: Path, found: Found, homes: Iterable[Path], read: Read) -> Iterator[_Kit]:
    """Yield what could complete a model, the nearest first."""
    widths = _widths(found)
    yield _Kit({}, tuple(layout.tokenizers_near(layout.folder_of(path))))
    for folder in layout.folders_beside(path):
        parts, damage = _best_in(folder, widths, read)
        yield _Kit(parts, tuple(layout.tokenizers_near(folder)), damage)
    for installed in homes:
        kit = _installed(installed, widths, read)
        encoder = kit.parts.get(Role.TEXT_ENCODER)
        if encoder is not None and _encoder_width(encoder) == widths.text:
            yield kit


def _installed(home: Path, widths: _Widths, read: Read) -> _Kit:
    """Return the parts of an installed model; none if it cannot be opened."""
    if layout.is_folder(home) and not layout.is_diffusers(home):
        folders = layout.loose_folders(home)
        parts: dict[Role, Part] = {}
        for folder in folders:
            parts = {**_best_in(folder, widths, read)[0], **parts}
        near = [place for folder in folders for place in layout.tokenizers_near(folder)]
        return _Kit(parts, tuple(near))
    try:
        found = look(home, read)
    except UserError:
        return _Kit({}, ())
    parts = {role: part for role, part in found.parts.items() if role in _SIDE}
    return _Kit(parts, tuple(layout.tokenizers_near(layout.folder_of(home))))


def _best_in(folder: Path, widths: _Widths, read: Read) -> tuple[dict[Role, Part], tuple[str, ...]]:
    """Return the encoder and the autoencoder that a folder offers, of several the likeliest.

    The second value says what is wrong with files that cannot be read.
    """
    best: dict[Role, Part] = {}
    offers = list(candidates(folder, read))
    for offer in offers:
        for role, part in offer.items() if isinstance(offer, Mapping) else ():
            if role not in _SIDE or not _part_fits(role, part, widths):
                continue
            if role not in best or _likelihood(role, part) > _likelihood(role, best[role]):
                best[role] = part
    return best, tuple(offer.message for offer in offers if isinstance(offer, UserError))


def _likelihood(role: Role, part: Part) -> tuple[bool, int]:
    """Rank parts: those called as usual first, then the larger ones, which are more precise."""
    return _USUAL[role].search(part.headers[0].path.stem) is not None, part.size


def _widths(found: Found) -> _Widths:
    """Return what features the transformer among some parts takes."""
    main = found.parts[Role.TRANSFORMER]
    text = _rows_and_columns(main, "cap_embedder.1.weight")[1]
    sight = _rows_and_columns(main, "siglip_embedder.1.weight")[1]
    return _Widths(text, sight or None)


def _part_fits(role: Role, part: Part, widths: _Widths) -> bool:
    if role is Role.TEXT_ENCODER:
        return _encoder_width(part) == widths.text
    if role is Role.VISION:
        return _rows_and_columns(part, "embeddings.position_embedding.weight")[1] == widths.sight
    return _rows_and_columns(part, "decoder.conv_in.weight")[1] == LATENT_CHANNELS


def _encoder_width(encoder: Part) -> int:
    return _rows_and_columns(encoder, "embed_tokens.weight")[1]


def _rows_and_columns(part: Part, name: str) -> tuple[int, int]:
    """Return the first two sides of a weight; zeros where it is missing."""
    shape = part.weights[part.prefix + name].shape if part.prefix + name in part.weights else ()
    return (shape[0], shape[1]) if len(shape) > 1 else (0, 0)


def _fitting(tokenizers: Iterable[Path], encoder: Part) -> Path | None:
    """Return the first tokenizer whose tokens are about as many as the encoder knows."""
    known = _rows_and_columns(encoder, "embed_tokens.weight")[0]
    for path in tokenizers:
        try:
            ids = _TOKEN_ID.findall(read_bounded(path, layout.MAX_TOKENIZER_BYTES))
        except UserError:
            continue
        # Encoders have some spare rows; one with twice as many belongs to another tokenizer.
        if known // 2 <= max(map(int, ids), default=-1) < known:
            return path
    return None
