"""An easel is what every tab that paints has: a form, a job under way, and its pictures.

A tab builds one with `build_easel`, adds widgets of its own on the way, and connects it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import gradio as gr
from gradio.components import Component

from engine import Variant
from ui import strings
from ui.components import form, restore, results, stage
from ui.components.form import Form, Words
from ui.components.ids import Ids
from ui.components.loras import build_loras
from ui.components.shapes import build_sizes
from ui.components.styles import build_reading, build_styles
from ui.context import PageContext
from ui.handlers import QUIET, changes, on, on_any
from ui.tabs.extras import Extras, build_last, connect_extras
from ui.tabs.form_handlers import FORETOLD, FormHandlers
from ui.tabs.job_handlers import JobHandlers, JobParts
from ui.tabs.lora_handlers import LoraHandlers

IDENTITY_SCRIPT: Final = "() => [window.atelierIdentity()]"

Build = Callable[[], Mapping[str, Component]]
"""Builds widgets of a tab's own, and returns them by the name of the request's field they fill."""


def _nothing() -> Mapping[str, Component]:
    """Build nothing."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What sets a tab's easel apart.

    above: what stands before the prompt. below: what stands after the button. advanced: what opens
    the advanced part. aside: what stands above the stage. scales: widths of left and right.
    variant: the model to begin with, None = the page's first.
    """

    words: Words
    above: Build = _nothing
    below: Build = _nothing
    advanced: Build = _nothing
    aside: Build = _nothing
    scales: tuple[int, int] = (5, 7)
    variant: Variant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Easel:
    """The components of one tab. told: the forecast. dropped: where a picture's settings go."""

    ids: Ids
    form: Form
    parts: JobParts
    told: gr.HTML
    dropped: gr.HTML
    extras: Extras


def build_easel(page: PageContext, ids: Ids, plan: Plan) -> Easel:
    """Build the left and the right of a tab, not connected yet."""
    with gr.Row(equal_height=False, **ids.mark("tab")):
        with gr.Column(scale=plan.scales[0], min_width=320, **ids.mark("left")):
            filled, buttons, told, dropped, extras = _build_left(page, ids, plan)
        with gr.Column(scale=plan.scales[1], min_width=320, **ids.mark("right")):
            extra = plan.aside()
            shown, pictures = _build_right(ids, plan.words)
    parts = JobParts(
        generate=buttons[0],
        cancel=buttons[1],
        stage=shown,
        results=pictures,
        job=gr.State(""),
        shown=gr.State(()),
        visitor=gr.State(("", "")),
    )
    filled.extra.update(extra)
    return Easel(ids=ids, form=filled, parts=parts, told=told, dropped=dropped, extras=extras)


def connect_easel(page: PageContext, easel: Easel, demo: gr.Blocks, status: gr.HTML) -> None:
    """Connect what every easel does. status: tells when there is more to offer."""
    filled, parts = easel.form, easel.parts
    handlers = FormHandlers(page, filled, easel.dropped)
    _connect_form(handlers, filled)
    _connect_models(handlers, filled)
    _connect_loras(LoraHandlers(page, filled.loras), filled)
    _connect_forecast(handlers, filled, easel.told, status)
    _connect_pictures(handlers, filled, parts, easel.dropped)
    _connect_job(JobHandlers(page, parts, easel.ids.tab), easel, demo)
    connect_extras(page, demo, easel.extras, handlers)


def _build_left(
    page: PageContext, ids: Ids, plan: Plan
) -> tuple[Form, tuple[gr.Button, gr.Button], gr.HTML, gr.HTML, Extras]:
    variant, extra = plan.variant or page.first_model, dict[str, Component]()
    extra.update(plan.above())
    with gr.Column(elem_classes="card"):
        prompt, note = form.build_prompt(variant, ids, plan.words)
        reading = build_reading(ids)
    buttons = _build_buttons(ids, plan.words)
    told = gr.HTML("", **ids.mark("forecast"), apply_default_css=False)
    chips = form.build_chips(variant, ids)
    extra.update(plan.below())
    styles = build_styles(page.presets, ids)
    with gr.Column(elem_classes="card"):
        model, model_note = form.build_model(variant, ids, paths=page.owner)
        shape = form.build_shape(variant, ids)
        sizes = build_sizes(page.presets, ids)
        count = form.build_count(ids)
        seed, random_seed, last_seed = form.build_seed(ids)
    loras = build_loras(ids, paths=page.owner)
    with gr.Accordion(strings.ADVANCED, open=False, **ids.mark("advanced")):
        extra.update(plan.advanced())
        advanced = form.build_advanced(variant, ids)
    presets, grid = build_last(page, ids)
    dropped = _build_restore(ids)
    extra["long_prompt"] = reading.long_prompt
    filled = Form(
        prompt=prompt,
        note=note,
        chips=chips,
        model=model,
        model_note=model_note,
        shape=shape,
        count=count,
        seed=seed,
        random_seed=random_seed,
        last_seed=last_seed,
        loras=loras,
        advanced=advanced,
        variant=gr.State(variant),
        extra=extra,
    )
    extras = Extras(reading=reading, styles=styles, sizes=sizes, presets=presets, grid=grid)
    return filled, buttons, told, dropped, extras


def _build_buttons(ids: Ids, words: Words) -> tuple[gr.Button, gr.Button]:
    with gr.Row(**ids.mark("go")):
        generate = gr.Button(words.button, variant="primary", size="lg", **ids.mark("generate"))
        cancel = gr.Button(
            strings.CANCEL, variant="stop", size="lg", visible=False, **ids.mark("cancel")
        )
    return generate, cancel


def _build_restore(ids: Ids) -> gr.HTML:
    with gr.Accordion(strings.RESTORE, open=False, **ids.mark("restore")):
        return gr.HTML(
            "",
            html_template=restore.drop_template(),
            js_on_load=restore.DROP_SCRIPT,
            **ids.mark("dropped"),
            apply_default_css=False,
        )


def _build_right(ids: Ids, words: Words) -> tuple[gr.HTML, gr.HTML]:
    shown = gr.HTML(
        stage.empty_markup(words.invitation),
        js_on_load=stage.STAGE_SCRIPT,
        **ids.mark("stage"),
        apply_default_css=False,
    )
    pictures = gr.HTML(
        "", js_on_load=results.RESULTS_SCRIPT, **ids.mark("results"), apply_default_css=False
    )
    return shown, pictures


def _connect_form(handlers: FormHandlers, filled: Form) -> None:
    prompt, variant, shape = filled.prompt, filled.variant, filled.shape
    on(prompt.change, handlers.heed_prompt, [prompt, variant], [filled.note], at_once=True)
    on(filled.chips.select, handlers.take_example, [], [prompt])
    on(filled.random_seed.click, handlers.random_seed, [], [filled.seed])
    more = filled.advanced
    guidance = more.guidance_scale
    on(guidance.input, handlers.heed_guidance, [guidance, variant], filled.guided)
    sides = [more.width, more.height]
    chosen = [shape, more.megapixels, variant]
    on_any([shape.input, more.megapixels.input], handlers.choose_shape, chosen, sides)
    given = [*sides, more.megapixels, variant]
    on_any([side.input for side in sides], handlers.heed_sides, given, [shape])


def _connect_models(handlers: FormHandlers, filled: Form) -> None:
    known = [filled.model, filled.prompt, filled.loras.loras]
    on(filled.model.input, handlers.choose_model, known, filled.everything)
    on(filled.model_note.select, handlers.settle, known, filled.everything)


def _connect_forecast(handlers: FormHandlers, filled: Form, told: gr.HTML, status: gr.HTML) -> None:
    """Tell anew what a job would take when the form changes, and when the machine is known."""
    given = [filled.fields[name] for name in FORETOLD]
    on_any([*changes(given), status.select], handlers.foretell, given, [told])


def _connect_loras(handlers: LoraHandlers, filled: Form) -> None:
    parts, model = filled.loras, filled.model
    shown = [parts.section, parts.loras, parts.lora_partial, parts.compare]
    on(parts.add.input, handlers.add, [parts.add, parts.loras, model], [parts.add, *shown])
    on(parts.loras.select, handlers.remove, [model], shown)
    on(parts.loras.input, handlers.switch, [], [parts.section])
    on(parts.loras.submit, handlers.add_word, [filled.prompt], [filled.prompt])


def _connect_pictures(
    handlers: FormHandlers, filled: Form, parts: JobParts, dropped: gr.HTML
) -> None:
    model, seed = filled.model, filled.seed
    restored = [*filled.everything, dropped]
    on(filled.last_seed.click, handlers.last_seed, [parts.shown], [seed])
    on(parts.results.submit, handlers.take_seed, [parts.shown], [seed])
    on(parts.results.select, handlers.recall, [parts.shown, model], restored)
    on(dropped.upload, handlers.restore, [model], restored)


def _connect_job(handlers: JobHandlers, easel: Easel, demo: gr.Blocks) -> None:
    filled, parts = easel.form, easel.parts
    shows = [parts.stage, parts.results, parts.shown, parts.generate, parts.cancel, parts.job]
    starters = ((parts.generate, handlers.generate), (filled.loras.compare, handlers.compare))
    for button, handler in starters:
        button.click(
            handler,
            [parts.visitor, parts.shown],
            shows,
            inputs_kwargs={**filled.fields, **easel.extras.fields},
            concurrency_limit=None,
            **QUIET,
        )
    demo.load(
        handlers.attach,
        # The script's answer comes in place of what stands there.
        [filled.seed],
        [*shows, parts.visitor],
        js=IDENTITY_SCRIPT,
        concurrency_limit=None,
        **QUIET,
    )
    on(parts.cancel.click, handlers.stop, [parts.job], [parts.cancel], at_once=True)
