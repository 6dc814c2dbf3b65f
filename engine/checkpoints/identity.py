"""Decides which variant a model is: its shapes do not tell Base from Turbo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoints.checkpoint import Part
from engine.checkpoints.configs import is_omni
from engine.checkpoints.files import label, read_object
from engine.checkpoints.layout import TRANSFORMER_FILE, is_file
from engine.checkpoints.memory import remembered
from engine.errors import BadRequest, UserError
from engine.hub.record import FILE_NAME
from engine.variants import VARIANTS, Variant, by_name

VARIANT_KEY: Final = "variant"
"""Where a transformer file's metadata names its variant, as ours do."""

UNDISTILLED_SHIFT: Final = 5.0
"""Schedules shifted at least this far belong to the base model; the shapes are those of Turbo."""

ASSUMED: Final = "turbo"
OMNI, EDIT = "omni-base", "edit"

_NAMES: Final = frozenset(variant.name for variant in VARIANTS)

_TITLES: Final = ("modelspec.architecture", "modelspec.title", "model_class", "general.name")
"""Where the metadata of other programs' files may say what they are."""

_FEATURES: Final = "cap_embedder.1.weight"
"""A weight whose shape tells the width of the network and of the text features."""

_START: Final = "(?<![a-z])(z.?image.?)?"
_WORDS: Final = (
    (re.compile("twin.?flow"), "twinflow-turbo"),
    (re.compile(_START + "de.?turbo"), "de-turbo"),
    (re.compile("turbo"), "turbo"),
    (re.compile(_START + "(omni.?)?base(?![a-z])"), "base"),
)
"""What names say, the more telling words first; some must not be the end of another word.

Those of Omni and Edit are not among them: a file so called that has the plain architecture paints
like the plain model.
"""

_EDIT: Final = re.compile("(?<![a-z])edit(?![a-z])")
"""What the name of a model that reads pictures says where it is the one for editing."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which variant a model is taken for, and whether anything said so."""

    variant: Variant
    is_known: bool


def identify(
    transformer: Part, path: Path, shift: float | None, said: str | None, data: Path | None
) -> Identity:
    """Return the variant of a model; `shift` is its schedule's, `said` what the user named it.

    One that reads pictures is of the Omni kind, whatever it is called. Raises `NotFound` if the
    user named none of the variants there are, `BadRequest` for one that the model cannot be.
    """
    reads = is_omni(transformer.bare_shapes)
    if said is not None:
        variant = by_name(said)
        _check(variant, transformer, path)
        return Identity(variant, is_known=True)
    for name in _hints(transformer, path, shift, data):
        if name in _NAMES and by_name(name).edits == reads:
            return Identity(by_name(name), is_known=True)
    if reads:
        name = EDIT if any(map(_EDIT.search, _called(transformer, path))) else OMNI
        return Identity(by_name(name), is_known=True)
    return Identity(by_name(ASSUMED), is_known=False)


def _called(transformer: Part, path: Path) -> tuple[str, str]:
    """Return the names of a model's file and folder, in lower case."""
    return transformer.headers[0].path.name.lower(), path.name.lower()


def named_variant(text: str) -> str | None:
    """Return the variant whose name a file name or title holds."""
    words = re.sub("([a-z])([A-Z])", r"\1 \2", text).lower()
    return next((variant for word, variant in _WORDS if word.search(words)), None)


def _check(said: Variant, transformer: Part, path: Path) -> None:
    """Refuse a variant that a model cannot be, by its origin or by its weights.

    A note in the file's metadata may be a guess of its maker, so the user may say otherwise; but
    nothing that was trained for one family becomes the other.
    """
    noted = transformer.headers[0].metadata.get(VARIANT_KEY)
    other = _delivered_as(path)
    if noted in _NAMES and _is_demo(by_name(noted)) != _is_demo(said):
        other = noted
    if other in _NAMES and other != said.name:
        raise _contradicted(path, said, f"is {other}")
    if said.edits != is_omni(transformer.bare_shapes):
        has = "has no" if said.edits else "has"
        raise _contradicted(path, said, f"{has} weights for reference pictures")
    if _is_demo(said) and transformer.bare_shapes.get(_FEATURES) != _demo_shape(said):
        raise _contradicted(path, said, "has not the size of the Demo models")


def _contradicted(path: Path, said: Variant, what: str) -> BadRequest:
    return BadRequest(f"{label(path)} {what}; it cannot be {said.name}.", "Leave the variant out.")


def _is_demo(variant: Variant) -> bool:
    """Say whether a variant is of the family that comes with the program."""
    return variant.folder is not None


def _demo_shape(variant: Variant) -> tuple[object, object]:
    """Return the shape of the weight `_FEATURES` in a model that comes with the program."""
    config = {} if variant.folder is None else read_object(variant.folder / TRANSFORMER_FILE)
    return config.get("dim"), config.get("cap_feat_dim")


def _delivered_as(path: Path) -> str | None:
    """Return the variant that came with the program, or was downloaded, to a folder."""
    own = (v.name for v in VARIANTS if v.folder is not None and v.folder == path.absolute())
    return next(own, None) or _downloaded_as(path)


def _downloaded_as(path: Path) -> str | None:
    """Return the variant that a download left word of; a damaged note says nothing."""
    record = path / FILE_NAME
    try:
        found = read_object(record).get("variant") if is_file(record) else None
    except UserError:
        return None
    return found if isinstance(found, str) else None


def _hints(
    transformer: Part, path: Path, shift: float | None, data: Path | None
) -> Iterator[str | None]:
    """Yield what the file itself and the user said, then what may be guessed, the surest first."""
    metadata = transformer.headers[0].metadata
    yield metadata.get(VARIANT_KEY)
    yield _downloaded_as(path)
    yield None if data is None else remembered(transformer.digest, data)
    yield from (named_variant(metadata.get(key, "")) for key in _TITLES)
    if shift is not None:
        yield "base" if shift >= UNDISTILLED_SHIFT else "turbo"
    yield named_variant(transformer.headers[0].path.name)
    yield named_variant(path.name)
