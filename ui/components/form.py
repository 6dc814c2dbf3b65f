"""The widgets of a text-to-image request, by the name of the field that each one fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from engine import (
    MAX_PROMPT_CHARACTERS,
    SIDE_MULTIPLE,
    STEP_CACHE_CHOICES,
    TRUNCATION_CHOICES,
    Variant,
)
from ui import bindings, memory_strings, strings
from ui.components import picker, prompt, size
from ui.components.ids import MAIN, Ids
from ui.components.loras import LoraParts

SAMPLERS: Final = ("euler",)
"""The names a request's sampler may have."""
COUNTS: Final = (1, 2, 4, 8)
INFOS: Final[Mapping[str, str]] = {
    "negative": strings.NEGATIVE_INFO,
    "cfg_normalization": strings.NORMALIZATION_INFO,
    "cfg_truncation": memory_strings.truncation(TRUNCATION_CHOICES),
    "shift": strings.SHIFT_INFO,
    "step_cache": memory_strings.step_cache(STEP_CACHE_CHOICES),
}
"""What controls say while they have an effect."""
CONTROLS: Final = frozenset({*INFOS, "steps", "guidance_scale", "sampler"})
"""The controls that a model may ignore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a tab calls its prompt and its button. invitation: what its empty stage says."""

    label: str
    hint: str
    button: str
    invitation: str = strings.EMPTY_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """The widgets that most pictures need not touch."""

    negative: gr.Textbox
    megapixels: gr.Dropdown
    width: gr.Number
    height: gr.Number
    steps: gr.Number
    guidance_scale: gr.Number
    shift: gr.Number
    sampler: gr.Dropdown
    cfg_normalization: gr.Number
    cfg_truncation: gr.Number
    step_cache: gr.Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The widgets of a request, and those that help to fill them in.

    extra: further widgets, by the name of the field that each one fills.
    """

    prompt: gr.Textbox
    note: gr.HTML
    chips: gr.HTML
    model: gr.Dropdown
    model_note: gr.HTML
    shape: gr.Radio
    count: gr.Radio
    seed: gr.Textbox
    random_seed: gr.Button
    last_seed: gr.Button
    loras: LoraParts
    advanced: Advanced
    variant: gr.State
    extra: dict[str, Component] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Component]:
        """The widgets that fill a request, by the name of its field."""
        owners = {
            "prompt": self, "model": self, "count": self, "seed": self, "loras": self.loras,
            "lora_partial": self.loras,
        }  # fmt: skip
        common = {name: getattr(owners.get(name, self.advanced), name) for name in bindings.COMMON}
        return {**common, **self.extra}

    @property
    def guided(self) -> list[Component]:
        """The fields that only guidance uses."""
        return [self.fields[name] for name in bindings.NEUTRAL]

    @property
    def everything(self) -> list[Block]:
        """All that changes with the model."""
        helpers = (
            self.chips, self.note, self.model_note, self.shape, self.advanced.megapixels,
            self.loras.section, self.loras.compare, self.variant,
        )  # fmt: skip
        return [*self.fields.values(), *helpers]


def form_updates(form: Form, variant: Variant, values: Mapping[str, object]) -> dict[Block, Any]:
    """Return what the form shows for a model and some values, by the names of a request's fields.

    The values given replace those on the page; everything that follows from the model is set too.
    """
    reasons = bindings.ignored(variant, values["guidance_scale"])
    choices = size.megapixel_choices(variant)
    shape = size.shape_of(variant, values["width"], values["height"], size.STANDARD)
    updates = guidance_updates(form, variant, values["guidance_scale"])
    sampler = form.advanced.sampler
    updates[sampler] = gr.update(**_state("sampler", variant, reasons))
    for name, value in values.items():
        updates[form.fields[name]] = gr.update(value=value, **_state(name, variant, reasons))
    updates[form.chips] = prompt.chips_markup(variant)
    updates[form.variant] = variant
    updates[form.shape] = gr.update(choices=size.shapes(variant), value=shape)
    updates[form.advanced.megapixels] = gr.update(
        choices=_megapixels(choices), value=size.STANDARD, **_megapixels_state(choices)
    )
    return updates


def guidance_updates(form: Form, variant: Variant, guidance_scale: object) -> dict[Block, Any]:
    """Return which controls have an effect at a guidance, and why the others have none."""
    reasons = bindings.ignored(variant, guidance_scale)
    return {
        form.fields[name]: gr.update(**_state(name, variant, reasons)) for name in bindings.NEUTRAL
    }


def build_prompt(variant: Variant, ids: Ids, words: Words) -> tuple[gr.Textbox, gr.HTML]:
    """Build the prompt, and the note on what the model knows."""
    text = gr.Textbox(
        label=words.label,
        placeholder=words.hint,
        lines=4,
        max_lines=12,
        max_length=MAX_PROMPT_CHARACTERS,
        autofocus=ids.tab == MAIN,
        **ids.mark("prompt"),
    )
    note = gr.HTML(prompt.note_markup(variant, ""), **ids.mark("note"), apply_default_css=False)
    return text, note


def build_chips(variant: Variant, ids: Ids) -> gr.HTML:
    """Build the example prompts."""
    return gr.HTML(
        prompt.chips_markup(variant),
        js_on_load=prompt.CHIPS_SCRIPT,
        **ids.mark("chips"),
        apply_default_css=False,
    )


def build_model(chosen: Variant, ids: Ids, *, paths: bool) -> tuple[gr.Dropdown, gr.HTML]:
    """Build the model picker and the place for what is to be said about the model.

    The list comes when the page is loaded. paths: whether the path of a model may be typed in.
    """
    model = gr.Dropdown(
        label=strings.MODEL,
        info=strings.MODEL_INFO if paths else None,
        choices=[(chosen.title, chosen.name)],
        value=chosen.name,
        allow_custom_value=paths,
        **ids.mark("model"),
    )
    note = gr.HTML(
        "", js_on_load=picker.ASK_SCRIPT, **ids.mark("model-note"), apply_default_css=False
    )
    return model, note


def build_shape(variant: Variant, ids: Ids) -> gr.Radio:
    """Build the picker of shapes."""
    chosen = variant.defaults
    shape = size.shape_of(variant, chosen.width, chosen.height, size.STANDARD)
    return gr.Radio(
        label=strings.SHAPE, choices=size.shapes(variant), value=shape, **ids.mark("shape")
    )


def build_count(ids: Ids) -> gr.Radio:
    """Build the number of pictures."""
    return gr.Radio(label=strings.COUNT, choices=list(COUNTS), value=COUNTS[0], **ids.mark("count"))


def build_seed(ids: Ids) -> tuple[gr.Textbox, gr.Button, gr.Button]:
    """Build the seed with its two buttons: a random one, and the one used last."""
    with gr.Row(**ids.mark("seed-row")):
        seed = gr.Textbox(
            label=strings.SEED,
            placeholder=strings.SEED_HINT,
            max_lines=1,
            max_length=19,
            scale=3,
            min_width=120,
            **ids.mark("seed"),
        )
        random_seed, last_seed = (
            gr.Button(text, size="sm", scale=1, min_width=72, **ids.mark(name))
            for text, name in (
                (strings.SEED_RANDOM, "seed-random"),
                (strings.SEED_LAST, "seed-last"),
            )
        )
    return seed, random_seed, last_seed


def build_advanced(variant: Variant, ids: Ids) -> Advanced:
    """Build the fields that most pictures need not touch."""
    reasons = bindings.ignored(variant, variant.defaults.guidance_scale)
    start = variant.defaults

    def number(name: str, label: str, value: float, step: float) -> gr.Number:
        return gr.Number(
            label=label,
            value=value,
            step=step,
            min_width=120,
            **ids.mark(name.replace("_", "-")),
            **_state(name, variant, reasons),
        )

    negative = gr.Textbox(
        label=strings.NEGATIVE,
        value=start.negative,
        placeholder=strings.NEGATIVE_HINT,
        lines=2,
        max_length=MAX_PROMPT_CHARACTERS,
        **ids.mark("negative"),
        **_state("negative", variant, reasons),
    )
    with gr.Row():
        megapixels = _build_megapixels(variant, ids)
        width = number("width", strings.WIDTH, start.width, SIDE_MULTIPLE)
        height = number("height", strings.HEIGHT, start.height, SIDE_MULTIPLE)
    with gr.Row():
        steps = number("steps", strings.STEPS, start.steps, 1)
        guidance = number("guidance_scale", strings.GUIDANCE, start.guidance_scale, 0.5)
    with gr.Row():
        shift = number("shift", strings.SHIFT, start.shift, 0.5)
        sampler = _build_sampler(_state("sampler", variant, reasons), ids)
    normalization = number("cfg_normalization", strings.NORMALIZATION, 0.0, 0.1)
    truncation = number("cfg_truncation", strings.TRUNCATION, 1.0, 0.05)
    step_cache = number("step_cache", memory_strings.STEP_CACHE, 0.0, 0.05)
    return Advanced(
        negative=negative, megapixels=megapixels, width=width, height=height, steps=steps,
        guidance_scale=guidance, shift=shift, sampler=sampler, cfg_normalization=normalization,
        cfg_truncation=truncation, step_cache=step_cache,
    )  # fmt: skip


def _build_sampler(state: dict[str, Any], ids: Ids) -> gr.Dropdown:
    return gr.Dropdown(
        label=strings.SAMPLER,
        choices=list(SAMPLERS),
        value=SAMPLERS[0],
        min_width=120,
        **ids.mark("sampler"),
        **state,
    )


def _build_megapixels(variant: Variant, ids: Ids) -> gr.Dropdown:
    choices = size.megapixel_choices(variant)
    return gr.Dropdown(
        label=strings.MEGAPIXELS,
        choices=_megapixels(choices),
        value=size.STANDARD,
        min_width=120,
        **ids.mark("megapixels"),
        **_megapixels_state(choices),
    )


def _megapixels_state(choices: list[float]) -> dict[str, Any]:
    if len(choices) == 1:
        return {"interactive": False, "info": strings.MEGAPIXELS_FIXED}
    return {"interactive": True, "info": strings.MEGAPIXELS_INFO}


def _megapixels(choices: list[float]) -> list[tuple[str, float]]:
    if len(choices) == 1:
        return [(strings.MEGAPIXELS_STANDARD, choices[0])]
    return [(f"{number:g}", number) for number in choices]


def _state(name: str, variant: Variant, reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return whether a control has an effect, and what stands beside its label."""
    if name in reasons:
        return {"interactive": False, "info": reasons[name]}
    advice = INFOS.get(name, "")
    if name == "steps":
        advice = strings.recommended(*variant.limits.steps)
    if name == "guidance_scale":
        advice = f"{strings.GUIDANCE_INFO} {strings.recommended(*variant.limits.guidance_scale)}"
    return {"interactive": True, "info": advice} if name in CONTROLS else {}
