"""Strict accounting of the names and shapes in a file, against those that a network needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from engine.checkpoints.checkpoint import Part
from engine.checkpoints.configs import (
    Declared,
    text_encoder_config,
    transformer_config,
    vae_config,
    vision_config,
)
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    VISION_DIALECTS,
    Dialect,
    spoken,
    text_encoder_dialect,
)
from engine.checkpoints.look import declared
from engine.checkpoints.recognise import Role
from engine.errors import FileRejected
from engine.model.shapes import text_encoder_shapes, transformer_shapes, vae_shapes, vision_shapes

_EXAMPLES: Final = 3


def check_part(role: Role, part: Part) -> None:
    """Raise `FileRejected`, or `NotFound`, if a network cannot be filled with the weights."""
    shapes, stated = part.bare_shapes, declared(role, part)
    dialects: Sequence[Dialect]
    if role is Role.TRANSFORMER:
        needed, dialects = (
            transformer_shapes(transformer_config(shapes, stated)), TRANSFORMER_DIALECTS
        )  # fmt: skip
        what = "transformer"
    elif role is Role.VAE:
        needed, dialects = vae_shapes(vae_config(shapes, stated)), VAE_DIALECTS
        what = "autoencoder"
    elif role is Role.VISION:
        cut = Declared({}, stated.where)
        needed, dialects = vision_shapes(vision_config(shapes, stated, cut)), VISION_DIALECTS
        what = "vision encoder"
    else:
        config = text_encoder_config(shapes, stated)
        needed = text_encoder_shapes(config)
        dialects = (text_encoder_dialect(config["num_hidden_layers"]),)
        what = "text encoder"
    dialect, _ = spoken(part.shapes, dialects)
    match_names(needed, part.shapes, dialect, what)


def match_names(
    needed: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    dialect: Dialect,
    what: str,
) -> dict[str, tuple[str, ...]]:
    """Return, for each weight that a network needs, the names in a file of its blocks of rows.

    Raises `FileRejected` naming what is missing, unexpected or of the wrong shape among `shapes`.
    """
    prefix = dialect.prefix_in(shapes) or ""
    pieces = {name: tuple(prefix + piece for piece in dialect.naming(name)) for name in needed}
    unneeded = {name for name in shapes if dialect.unused(name.removeprefix(prefix))}
    faults = _faults(needed, shapes, pieces, unneeded)
    if faults:
        raise FileRejected(
            f"The {what} does not fit its configuration: {'; '.join(faults)}.",
            "Check that all files belong to one model, and download it again.",
        )
    return pieces


def _faults(
    wanted: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    pieces: Mapping[str, tuple[str, ...]],
    unneeded: Collection[str],
) -> list[str]:
    """Say what is missing, unexpected, or of the wrong shape."""
    needed = {piece for group in pieces.values() for piece in group}
    wrong = []
    for name, shape in wanted.items():
        rows = shape[0] // len(pieces[name])
        expected = [rows, *shape[1:]]
        wrong += [
            f"{piece} {list(shapes[piece])} instead of {expected}"
            for piece in pieces[name]
            if piece in shapes and _plain(shapes[piece]) != _plain(expected)
        ]
    counts = (
        _count(sorted(needed - shapes.keys()), "missing"),
        _count(sorted(shapes.keys() - needed - set(unneeded)), "unexpected"),
        _count(wrong, "of the wrong shape"),
    )
    return [count for count in counts if count]


def _plain(shape: Sequence[int]) -> list[int]:
    """Drop axes of one: files disagree on them for 1 x 1 convolutions and padding tokens."""
    return [side for side in shape if side != 1]


def _count(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _EXAMPLES else ""
    return f"{len(names)} {what} ({', '.join(names[:_EXAMPLES])}{more})"
