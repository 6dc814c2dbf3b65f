"""The truth panel: what an adapter file is, in plain values for the page and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.checkpoints.files import label
from engine.errors import FileRejected
from engine.lora.facts import may_have_thumbnail, trained_for, trigger_words
from engine.lora.file import LoraFile, read_lora
from engine.lora.match import Match, match, require
from engine.lora.names import canonical
from engine.model.config import TransformerConfig

MAX_NAMES: Final = 20
"""Module names that a report lists of each kind; the counts are whole."""

MAX_NAME: Final = 120

_ATTENTION: Final = re.compile(r"_attention_(to_[qkv]|qkv|to_out_0|out)$")

_Number = TypeVar("_Number", bound=float)


class Verdict(StrEnum):
    """Whether an adapter can be used with a model."""

    FITS = "fits"
    PARTLY = "partly"
    NOT = "not"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraReport:
    """What an adapter file is and does to a model.

    forms: LoRA, LoHa, LoKr, diff, and DoRA where magnitudes are apart. ranks, alphas: each once,
    rising, of very many only some. size: bytes. matched, total: modules. usable: whether it is
    applied without more ado. trained_for: a guess, "turbo", "base", "de-turbo" or "omni-base".
    has_thumbnail: whether something says it is one. sentence: all of it, or why the adapter is
    refused.
    """

    name: str
    dialect: str
    forms: tuple[str, ...]
    size: int
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    matched: int
    total: int
    unmatched: tuple[str, ...]
    misshapen: tuple[str, ...]
    duplicates: int
    text_encoder: int
    trained_for: str | None
    trigger_words: tuple[str, ...]
    has_thumbnail: bool
    verdict: Verdict
    usable: bool
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values, by field name."""
        return asdict(self)


def describe_lora(path: Path, config: TransformerConfig | None = None) -> LoraReport:
    """Report on an adapter file: for a model, or without one for any Z-Image model of its width.

    Only headers and alphas are read. Raise `NotFound`, or `FileRejected` for what is no adapter or
    a damaged one; one that merely does not fit gets its report.
    """
    lora = read_lora(path)
    meant = config or TransformerConfig(dim=_width(lora))
    found = match(lora, meant)
    try:
        notices = require(found)
    except FileRejected as error:
        return _report(found, str(error), usable=False)
    name = label(path)
    models = "the model" if config else f"Z-Image models of width {meant.dim}"
    praise = f"{name} fits {models}: {found.matched} of {found.total} modules."
    return _report(found, " ".join((praise, *notices)), usable=True)


def _width(lora: LoraFile) -> int:
    """Return the width of the models that an adapter was made for, as its attention tells."""
    widths = (
        change.shape[1]
        for change in lora.changes
        if len(change.shape) == 2 and _ATTENTION.search(canonical(change.module))
    )
    return next(widths, TransformerConfig().dim)


def _report(found: Match, sentence: str, *, usable: bool) -> LoraReport:
    lora = found.lora
    return LoraReport(
        name=lora.name,
        dialect=lora.dialect,
        forms=_forms(lora),
        size=lora.header.size,
        ranks=_some({change.rank for change in lora.changes if change.rank}),
        alphas=_some({c.alpha for c in lora.changes if c.alpha is not None}),
        matched=found.matched,
        total=found.total,
        unmatched=_bounded(found.unmatched),
        misshapen=_bounded(found.misshapen),
        duplicates=len(found.duplicates),
        text_encoder=len(found.text_encoder),
        trained_for=trained_for(lora),
        trigger_words=trigger_words(lora),
        has_thumbnail=may_have_thumbnail(lora),
        verdict=_verdict(found),
        usable=usable,
        sentence=sentence,
    )


def _verdict(found: Match) -> Verdict:
    if not found.matched or found.misshapen:
        return Verdict.NOT
    return Verdict.FITS if found.matched == found.total else Verdict.PARTLY


def _forms(lora: LoraFile) -> tuple[str, ...]:
    forms = {change.form.value for change in lora.changes}
    if any(change.decomposed for change in lora.changes):
        forms.add("DoRA")
    return tuple(sorted(forms))


def _some(numbers: Iterable[_Number]) -> tuple[_Number, ...]:
    """Return numbers, rising; of very many the lowest, and the highest."""
    rising = tuple(sorted(numbers))
    return rising if len(rising) <= MAX_NAMES else (*rising[: MAX_NAMES - 1], rising[-1])


def _bounded(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[:MAX_NAME] for name in names[:MAX_NAMES])
