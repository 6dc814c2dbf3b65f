"""The adapters of a form: how strongly each acts, and the truth about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import gradio as gr

from engine import LoraReport, Verdict
from ui import strings
from ui.chosen import Chosen
from ui.components.ids import Ids
from ui.markup import Markup, jpeg_url, tag

LORAS_SCRIPT: Final = """
const read = () => JSON.parse(props.value || '[]');
const show = (except) => read().forEach((one, index) => {
  const row = element.querySelector(`[data-lora="${index}"]`);
  if (!row) return;
  for (const field of row.querySelectorAll('[data-weight]')) {
    if (field !== except) field.value = one.weight;
  }
  row.querySelector('[data-on]').checked = one.on;
  row.classList.toggle('off', !one.on);
});
element.addEventListener('input', ({ target }) => {
  const list = read(), one = list[target.closest('[data-lora]')?.dataset.lora];
  if (!one || (target.matches('[data-weight]') && target.value === '')) return;
  if (target.matches('[data-on]')) one.on = target.checked;
  else one.weight = Math.max(-2, Math.min(2, Number(target.value)));
  props.value = JSON.stringify(list);
  show(target);
  if (target.matches('[data-on]')) trigger('input', { value: props.value });
});
element.addEventListener('change', () => show());
element.addEventListener('click', ({ target }) => {
  const remove = target.closest('[data-remove]'), word = target.closest('[data-word]');
  const list = read();
  if (remove) {
    list.splice(Number(remove.dataset.remove), 1);
    props.value = list.length ? JSON.stringify(list) : '';
    trigger('select', { value: props.value });
  }
  if (word) trigger('submit', { word: word.dataset.word });
});
watch(['value', 'panel'], () => show());
show();
"""
"""Keeps weights and switches in the component's value, so that no click waits for the server."""

LEVELS: Final = {Verdict.FITS: "good", Verdict.PARTLY: "warn", Verdict.NOT: "bad"}
WORDS: Final = {
    Verdict.FITS: strings.LORA_FITS,
    Verdict.PARTLY: strings.LORA_PARTLY,
    Verdict.NOT: strings.LORA_STOP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraParts:
    """The components for adapters. loras, lora_partial: what fills those fields of a request.

    A handler with `loras` among its outputs must return it, panel and all: Gradio takes the panel
    away from a custom component that is skipped.
    """

    section: gr.Accordion
    add: gr.Dropdown
    loras: gr.HTML
    lora_partial: gr.Checkbox
    compare: gr.Button


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known of an adapter for a model. fault: why its file cannot be read."""

    chosen: Chosen
    report: LoraReport | None = None
    fault: str = ""
    thumbnail: bytes | None = None

    @property
    def needs_leave(self) -> bool:
        """Whether it fits in part only, and is refused unless the user says otherwise."""
        report = self.report
        return report is not None and report.verdict is Verdict.PARTLY and not report.usable


def build_loras(ids: Ids, *, paths: bool) -> LoraParts:
    """Build the adapters' part of the form, closed. paths: whether a path may be typed in."""
    with gr.Accordion(strings.LORAS, open=False, **ids.mark("loras-section")) as section:
        add = gr.Dropdown(
            label=strings.LORA_ADD,
            info=strings.LORA_ADD_INFO if paths else None,
            choices=[],
            value=None,
            allow_custom_value=paths,
            **ids.mark("lora-add"),
        )
        loras = gr.HTML(
            "",
            html_template="${panel}",
            js_on_load=LORAS_SCRIPT,
            **ids.mark("loras"),
            apply_default_css=False,
            panel="",
        )
        partial = gr.Checkbox(
            label=strings.LORA_PARTIAL,
            info=strings.LORA_PARTIAL_INFO,
            visible=False,
            **ids.mark("lora-partial"),
        )
        compare = gr.Button(strings.COMPARE, visible=False, **ids.mark("compare"))
    return LoraParts(section=section, add=add, loras=loras, lora_partial=partial, compare=compare)


def panel_markup(truths: Sequence[Truth]) -> Markup:
    """Return the list of adapters with the truth about each."""
    if not truths:
        return Markup("")
    return tag("ul", *(_row(truth, index) for index, truth in enumerate(truths)), class_="loras")


def _row(truth: Truth, index: int) -> Markup:
    report = truth.report
    level = "bad" if report is None else LEVELS[report.verdict]
    told = tag("p", truth.fault, class_="verdict") if report is None else _told(report, truth)
    return tag(
        "li", _head(truth.chosen, index), _weight(truth.chosen), told,
        class_=f"lora {level}", data_lora=index,
    )  # fmt: skip


def _head(chosen: Chosen, index: int) -> Markup:
    switch = tag("input", type="checkbox", data_on=True, checked=chosen.on)
    shown = chosen.name.removesuffix(".safetensors")
    name = tag("span", shown, title=chosen.name, translate="no")
    remove = tag(
        "button", "×", type="button", data_remove=index, title=strings.LORA_REMOVE,
        aria_label=strings.remove_lora(chosen.name),
    )  # fmt: skip
    return tag("div", tag("label", switch, name), remove, class_="head")


def _weight(chosen: Chosen) -> Markup:
    fields = [
        tag(
            "input", type=kind, min=-2, max=2, step="0.05", value=f"{chosen.weight:g}",
            data_weight=True, aria_label=strings.lora_weight(chosen.name),
        )
        for kind in ("range", "number")
    ]  # fmt: skip
    return tag("div", *fields, class_="weight")


def _told(report: LoraReport, truth: Truth) -> Markup:
    verdict = tag("p", tag("strong", WORDS[report.verdict]), " ", report.sentence, class_="verdict")
    parts = [verdict, tag("p", _facts(report), class_="facts")]
    if report.trigger_words:
        parts.append(_words(report.trigger_words))
    parts.append(_names(strings.LORA_UNMATCHED, report.unmatched))
    parts.append(_names(strings.LORA_MISSHAPEN, report.misshapen))
    told = tag("div", *parts)
    if truth.thumbnail is None:
        return tag("div", told, class_="truth")
    picture = tag("img", src=jpeg_url(truth.thumbnail), alt="", class_="thumb")
    return tag("div", picture, told, class_="truth")


def _facts(report: LoraReport) -> str:
    facts = list[str]()
    if report.ranks:
        facts.append(strings.rank(report.ranks))
    if report.alphas:
        facts.append(strings.alpha(report.alphas))
    facts += [*report.forms, report.dialect]
    if report.trained_for:
        facts.append(strings.TRAINED_FOR.get(report.trained_for, report.trained_for))
    return " · ".join([*facts, strings.file_size(report.size)])


def _words(words: Sequence[str]) -> Markup:
    buttons = [tag("button", word, type="button", data_word=word, translate="no") for word in words]
    label = tag("span", strings.LORA_WORDS, class_="hint", title=strings.LORA_WORDS_INFO)
    return tag("div", label, *buttons, class_="words")


def _names(title: str, names: Sequence[str]) -> Markup:
    if not names:
        return Markup("")
    items = (tag("li", name) for name in names)
    return tag("details", tag("summary", title), tag("ul", *items, translate="no"))
