"""Reads what an adapter file is: its header, and the single numbers called alpha. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoints.files import label, opened
from engine.checkpoints.header import FLOATS, Header, read_header, stamp_of
from engine.checkpoints.recognise import recognise
from engine.errors import FileRejected
from engine.lora.alpha import Stated, finite, read_scalar, stated_alpha
from engine.lora.forms import Form, Malformed, Measure, Shape, measure
from engine.lora.names import dialect_of, module_of, parse

MATRIX_TYPES: Final = FLOATS | {"F8_E4M3", "F8_E5M2"}
"""Number types that the tensors of an adapter come in."""

_AGAIN: Final = "Download it again, or ask its author."


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a file does to one weight, or to one bias.

    module: its name in the file, without wrappers. shape: of the weight or bias. tensors: names in
    the file, by role. rank: 0 where the form has none. alpha: None where the file is silent.
    scale: what the product of the tensors is multiplied with, at weight 1.
    """

    module: str
    form: Form
    shape: Shape
    tensors: Mapping[str, str]
    of_bias: bool = False
    rank: int = 0
    alpha: float | None = None
    scale: float = 1.0

    @property
    def decomposed(self) -> bool:
        """Whether direction and magnitude are apart (DoRA)."""
        return "dora_scale" in self.tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFile:
    """An adapter file, read without its weights.

    dialect: whose habit of naming it follows. text_encoder: modules of a text encoder, which are
    not applied. strange: names of tensors that are no part of any known form.
    """

    header: Header
    dialect: str
    changes: tuple[Change, ...]
    text_encoder: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.header.path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.header.path.name


@dataclass(frozen=True, slots=True)
class _Group:
    """The tensors of one module, by role. stem: what their names begin with."""

    stem: str
    tensors: Mapping[str, str]
    shapes: Mapping[str, Shape]


def read_lora(path: Path) -> LoraFile:
    """Read an adapter file; raise `NotFound`, or `FileRejected` saying what is wrong with it."""
    header = read_header(path)
    groups: dict[str, dict[str, str]] = {}
    text_encoder, strange = dict[str, None](), []
    for name in header.tensors:
        key = parse(name)
        if key is None:
            strange.append(name)
        elif key.text_encoder:
            text_encoder[key.stem] = None
        else:
            _add(groups.setdefault(key.stem, {}), key.role, name, header)
    if not groups and not text_encoder:
        raise FileRejected(
            f"{label(path)} is {recognise(header.tensors).what}, not a LoRA.",
            "Choose a LoRA made for Z-Image.",
        )
    return LoraFile(
        header=header,
        dialect=dialect_of(name for name in header.tensors if parse(name)),
        changes=_changes([_group(header, *item) for item in groups.items()], header),
        text_encoder=tuple(text_encoder),
        strange=tuple(strange),
    )


def _add(tensors: dict[str, str], role: str, name: str, header: Header) -> None:
    if role in tensors:
        raise FileRejected(
            f"{label(header.path)} states {tensors[role]!r:.120} twice: also as {name!r:.120}.",
            _AGAIN,
        )
    tensors[role] = name


def _group(header: Header, stem: str, tensors: Mapping[str, str]) -> _Group:
    for role, name in tensors.items():
        dtype = header.tensors[name].dtype
        if role != "alpha" and dtype not in MATRIX_TYPES:
            raise FileRejected(
                f"{label(header.path)} stores {name!r:.120} as {dtype}.",
                "Use a bf16 version of it.",
            )
    shapes = {role: header.tensors[name].shape for role, name in tensors.items()}
    return _Group(stem, tensors, shapes)


def _changes(groups: list[_Group], header: Header) -> tuple[Change, ...]:
    """Measure every module, then scale it: what stands beside the tensors may name a rank."""
    measured = [(group, _measured(group, header)) for group in groups]
    stated = stated_alpha(header, {found.rank for _, found in measured if found is not None})
    alphas = _alphas(groups, header)
    changes = []
    for group, found in measured:
        if found is not None:
            changes.append(_change(group, found, alphas.get(group.stem), stated))
        if "diff_b" in group.tensors:
            tensors = {"diff": group.tensors["diff_b"]}
            shape = group.shapes["diff_b"]
            changes.append(
                Change(
                    module=module_of(group.stem),
                    form=Form.DIFF,
                    shape=shape,
                    tensors=tensors,
                    of_bias=True,
                )
            )
    return tuple(changes)


def _measured(group: _Group, header: Header) -> Measure | None:
    try:
        found = measure(group.shapes)
    except Malformed as error:
        raise FileRejected(f"{label(header.path)}: {group.stem!r:.120} {error}.", _AGAIN) from None
    if found is None and "diff_b" not in group.tensors:
        present = ", ".join(sorted(group.tensors))
        raise FileRejected(f"{label(header.path)}: {group.stem!r:.120} has only {present}.", _AGAIN)
    return found


def _alphas(groups: list[_Group], header: Header) -> dict[str, float]:
    """Read alpha of every module that has one among its tensors."""
    names = {g.stem: g.tensors["alpha"] for g in groups if "alpha" in g.tensors}
    if not names:
        return {}
    with opened(header.path) as file:
        if stamp_of(file) != header.stamp:
            raise FileRejected(
                f"{label(header.path)} was changed while it was being read.", "Try again."
            )
        numbers = {s: read_scalar(file, header.tensors[name]) for s, name in names.items()}
    return {stem: finite(value, header, names[stem]) for stem, value in numbers.items()}


def _change(group: _Group, found: Measure, own: float | None, stated: Stated) -> Change:
    alpha, module = None, module_of(group.stem)
    if found.rank:
        alpha = stated.of(module) if own is None else own
    stabilised = own is None and stated.rank_stabilised
    divisor = math.sqrt(found.rank) if stabilised else found.rank
    return Change(
        module=module,
        form=found.form,
        shape=found.shape,
        tensors={role: name for role, name in group.tensors.items() if role not in _BESIDE},
        rank=found.rank,
        alpha=alpha,
        scale=1.0 if alpha is None else alpha / divisor,
    )


_BESIDE: Final = frozenset({"alpha", "diff_b"})
