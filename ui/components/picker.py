"""The words of the model picker: what a model is, whether it fits, and what to ask about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine import Availability, ModelEntry, Precision, Settings, Status
from ui import strings
from ui.markup import Markup, tag

GIB: Final = 2**30
ASK_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const answer = event.target.closest('[data-variant]');
  if (answer) trigger('select', { variant: answer.dataset.variant });
});
"""


def choices(
    models: Sequence[ModelEntry], settings: Settings, status: Status
) -> list[tuple[str, str]]:
    """Return label and name of each model, for the memory and the precision of this machine."""
    limit, there = settings.vram_gb, status.total_bytes
    there = min(there, int(limit * GIB)) if limit else there
    wanted = settings.precision
    if wanted is Precision.AUTO:
        wanted = status.precision or wanted
    return [
        (label(model, _taken(model, settings.precision, wanted), there), model.name)
        for model in models
    ]


def label(model: ModelEntry, precision: Precision, there: int) -> str:
    """Say what a model is, how large, and whether the memory holds it whole."""
    if model.availability is Availability.DAMAGED:
        return f"{model.title} · {strings.DAMAGED}"
    facts = [model.title, strings.PRECISIONS.get(model.precision, model.precision)]
    facts.append(strings.file_size(model.size))
    needed = model.needs(precision)
    if there and needed:
        facts.append(strings.FITS if needed <= there else strings.needs(needed, there))
    return " · ".join(facts)


def note_markup(model: ModelEntry, *, owner: bool) -> Markup:
    """Return what stands below the picker: a fault, or the question which variant a model is."""
    match model.availability:
        case Availability.HERE:
            return Markup("") if model.sure or not owner else _question()
        case Availability.FETCH:
            sentence = f"{strings.not_here(model.title)} {strings.NOT_HERE_ACTION}"
            return tag("p", sentence, class_="note warn", role="status")
        case _:
            return tag("p", model.note, class_="note warn", role="alert")


def _taken(model: ModelEntry, asked: Precision, wanted: Precision) -> Precision:
    """Return the precision that a model is loaded in: files of int8 stay so, unless asked."""
    stored = model.precision.startswith("int8")
    return Precision.INT8 if stored and asked is Precision.AUTO else wanted


def _question() -> Markup:
    answers = [
        tag("button", text, type="button", data_variant=name)
        for name, text in strings.WHICH_CHOICES
    ]
    return tag(
        "div",
        tag("p", tag("strong", strings.WHICH_LABEL), " ", strings.WHICH, class_="note warn"),
        tag("div", *answers, class_="actions"),
        role="status",
        class_="ask",
    )
