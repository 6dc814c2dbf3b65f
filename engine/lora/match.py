"""Decides what of an adapter fits a model. Pure: nothing is read, nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.checkpoints.files import label
from engine.errors import FileRejected
from engine.lora.file import Change, LoraFile
from engine.lora.foreign import purpose
from engine.lora.forms import Shape
from engine.lora.names import canonical
from engine.lora.targets import Target, targets
from engine.model.config import TransformerConfig

LEAST_SHARE: Final = 0.9
"""Share of an adapter's modules below which it is refused unless the user says otherwise."""

_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Fit:
    """A change and the weight that it changes."""

    change: Change
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What of a file fits a model. config: the model's architecture.

    total: modules that the file changes; what it states both fused and split counts once, split.
    unmatched: modules that the model lacks. misshapen: modules whose weights have another shape,
    each with both. duplicates: modules that were left out because others say the same. text_encoder
    modules are in no count.
    """

    lora: LoraFile
    config: TransformerConfig
    fits: tuple[Fit, ...]
    matched: int
    total: int
    unmatched: tuple[str, ...]
    misshapen: tuple[str, ...]
    duplicates: tuple[str, ...]
    text_encoder: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the modules that fit, 0 to 1."""
        return self.matched / self.total if self.total else 0.0

    @property
    def touches_captions(self) -> bool:
        """Whether refined captions depend on the adapter."""
        return any(fit.target.shapes_captions for fit in self.fits)


def match(lora: LoraFile, config: TransformerConfig) -> Match:
    """Say which modules of a file fit a model of this architecture."""
    table = targets(config)
    fits, unmatched, misshapen = list[Fit](), dict[str, None](), dict[str, str]()
    for change in lora.changes:
        target = _target(change, table)
        if target is None:
            unmatched[change.module] = None
        elif _plain(change.shape) != _plain(target.shape):
            shapes = f"{list(change.shape)} instead of {list(target.shape)}"
            misshapen[change.module] = f"{change.module} {shapes}"
        else:
            fits.append(Fit(change, target))
    kept, duplicates = _once(fits, lora)
    unmatched.update(dict.fromkeys(lora.strange))
    changed = {fit.change.module for fit in kept}
    wrong = unmatched.keys() | misshapen.keys()
    return Match(
        lora=lora,
        config=config,
        fits=tuple(kept),
        matched=len(changed - wrong),
        total=len(changed | wrong),
        unmatched=tuple(unmatched),
        misshapen=tuple(misshapen.values()),
        duplicates=tuple(duplicates),
        text_encoder=lora.text_encoder,
    )


def require(found: Match, *, partial: bool = False) -> tuple[str, ...]:
    """Return what the user should know of an adapter that fits; raise `FileRejected` for others.

    `partial` allows an adapter of which less than nine tenths fit, but something does.
    """
    if not found.matched or found.misshapen or (found.share < LEAST_SHARE and not partial):
        raise FileRejected(*_refusal(found))
    name, notices = label(found.lora.path), []
    if found.unmatched:
        notices.append(f"{name}: {_counted(found)}; it lacks {_few(found.unmatched)}.")
    if found.text_encoder:
        notices.append(
            f"{name} also changes the text encoder ({len(found.text_encoder)} modules); that part "
            "is not applied."
        )
    if found.duplicates:
        count = len(found.duplicates)
        notices.append(f"{name}: {count} modules are stated twice; each is applied once.")
    silent = sum(fit.change.scale == 0 for fit in found.fits)
    if silent:
        notices.append(f"{name}: {silent} of its changes have alpha 0 and no effect.")
    return tuple(notices)


def _refusal(found: Match) -> tuple[str, str]:
    """Return the sentence and the next step for an adapter that is refused."""
    name, action = label(found.lora.path), "Choose a LoRA made for Z-Image."
    if not found.total:
        count = len(found.text_encoder)
        return f"{name} changes only the text encoder ({count} modules), not the model.", action
    stranger = purpose(found.lora) if found.misshapen or not found.matched else None
    if stranger is not None:
        return f"{name} was made for {stranger}, not for Z-Image: {_counted(found)}.", action
    if found.misshapen:
        return (
            f"{name} was made for a model of another size: {len(found.misshapen)} of "
            f"{found.total} modules have other shapes ({_few(found.misshapen)}).",
            "Choose a LoRA made for this model.",
        )
    lacks = _few(found.unmatched)
    sentence = f"{name} does not fit this model: {_counted(found)}; it lacks {lacks}."
    if found.matched:
        action = f"{action[:-1]}, or use --lora-partial to apply what fits."
    return sentence, action


def _counted(found: Match) -> str:
    return f"{found.matched} of {found.total} modules fit the model"


def _few(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _EXAMPLES else ""
    return ", ".join(name[:120] for name in names[:_EXAMPLES]) + more


def _target(change: Change, table: dict[str, Target]) -> Target | None:
    target = table.get(canonical(change.module))
    return target.bias() if target is not None and change.of_bias else target


def _plain(shape: Shape) -> Shape:
    """Return a shape without its ones: padding tokens come as [D] and as [1, D]."""
    return tuple(side for side in shape if side != 1)


def _once(fits: Iterable[Fit], lora: LoraFile) -> tuple[list[Fit], list[str]]:
    """Drop what is stated twice: under two names, or fused beside its split parts.

    The smaller blocks of rows are taken first, so that the fused one is dropped.
    """
    kept, duplicates = list[Fit](), list[str]()
    taken: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for fit in sorted(fits, key=lambda fit: math.prod(fit.target.shape)):
        rows = fit.target.rows
        blocks = taken.setdefault((fit.target.module, fit.target.parameter), set())
        inside = sum(end - begin for begin, end in blocks if rows.start <= begin < rows.stop)
        if inside == rows.stop - rows.start:
            duplicates.append(fit.change.module)
            continue
        if inside:
            whole = f"{label(lora.path)} states {fit.change.module!r:.120} whole"
            raise FileRejected(
                f"{whole} and some of its parts.",
                "Ask its author for a version that states each weight once.",
            )
        blocks.add((rows.start, rows.stop))
        kept.append(fit)
    return kept, duplicates
