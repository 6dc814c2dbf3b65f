"""The words of the model picker: what a model is, whether it fits, and what to ask about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine import Availability, Fit, ModelEntry
from ui import memory_strings, strings
from ui.markup import Markup, tag

ASK_SCRIPT: Final = """
element.addEventListener('click', (event) => {
  const answer = event.target.closest('[data-variant]');
  if (answer) trigger('select', { variant: answer.dataset.variant });
});
"""


def choices(models: Sequence[ModelEntry], fits: Mapping[str, Fit]) -> list[tuple[str, str]]:
    """Return label and name of each model. fits: how those go with this machine, where known."""
    return [(label(model, fits.get(model.name)), model.name) for model in models]


def label(model: ModelEntry, fit: Fit | None) -> str:
    """Say what a model is, how large, and how it goes with the memory."""
    if model.availability is Availability.DAMAGED:
        return f"{model.title} · {strings.DAMAGED}"
    facts = [model.title, strings.PRECISIONS.get(model.precision, model.precision)]
    facts.append(strings.file_size(model.size))
    if fit is not None:
        facts.append(memory_strings.FITS[fit])
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
