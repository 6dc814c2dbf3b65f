"""The Generate tab: words in, picture out."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui import strings
from ui.components import form, results, stage
from ui.components.form import Form
from ui.context import PageContext
from ui.handlers import on
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.job_handlers import JobHandlers, JobParts

STORAGE_KEY = "atelier-z"
STORAGE_CIPHER = "atelier-z-1"
"""Fixed, so that a browser's value outlives a restart of the program; it hides nothing."""

TAB_SCRIPT = "(browser) => [[browser, window.atelierTab()]]"


def build_generate(page: PageContext, demo: gr.Blocks) -> None:
    """Build the tab inside `demo` and connect it."""
    with gr.Row(equal_height=False, elem_id="generate-tab"):
        with gr.Column(scale=5, min_width=320, elem_id="left"):
            filled, buttons, dropped = _build_left(page)
        with gr.Column(scale=7, min_width=320, elem_id="right"):
            shown, pictures = _build_right()
    parts = JobParts(
        generate=buttons[0],
        cancel=buttons[1],
        stage=shown,
        results=pictures,
        job=gr.State(""),
        shown=gr.State(()),
        visitor=gr.State(("", "")),
        browser=gr.BrowserState("", storage_key=STORAGE_KEY, secret=STORAGE_CIPHER),
    )
    handlers = FormHandlers(page, filled, dropped.note)
    _connect_form(handlers, filled)
    _connect_pictures(handlers, filled, parts, dropped)
    _connect_job(JobHandlers(page, parts), filled, parts, demo)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dropped:
    file: gr.File
    note: gr.HTML


def _build_left(page: PageContext) -> tuple[Form, tuple[gr.Button, gr.Button], _Dropped]:
    variant = page.first_model
    with gr.Column(elem_classes="card"):
        prompt, note = form.build_prompt(variant)
    buttons = _build_buttons()
    chips = form.build_chips(variant)
    with gr.Column(elem_classes="card"):
        model = form.build_model(page.model_choices, variant.name, paths=page.owner)
        shape = form.build_shape(variant)
        count = form.build_count()
        seed, random_seed, last_seed = form.build_seed()
    with gr.Accordion(strings.ADVANCED, open=False, elem_id="advanced"):
        advanced = form.build_advanced(variant)
    dropped = _build_restore()
    filled = Form(
        prompt=prompt,
        note=note,
        chips=chips,
        model=model,
        shape=shape,
        count=count,
        seed=seed,
        random_seed=random_seed,
        last_seed=last_seed,
        advanced=advanced,
        variant=gr.State(variant),
    )
    return filled, buttons, dropped


def _build_buttons() -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_id="go"):
        generate = gr.Button(strings.GENERATE, variant="primary", size="lg", elem_id="generate")
        cancel = gr.Button(
            strings.CANCEL, variant="stop", size="lg", visible=False, elem_id="cancel"
        )
    return generate, cancel


def _build_restore() -> _Dropped:
    with gr.Accordion(strings.RESTORE, open=False, elem_id="restore"):
        file = gr.File(
            label=strings.RESTORE_DROP,
            file_types=[".png"],
            type="filepath",
            height=120,
            elem_id="dropped",
        )
        note = gr.HTML("", elem_id="dropped-note", apply_default_css=False)
    return _Dropped(file=file, note=note)


def _build_right() -> tuple[gr.HTML, gr.HTML]:
    shown = gr.HTML(
        stage.empty_markup(),
        js_on_load=stage.STAGE_SCRIPT,
        elem_id="stage",
        apply_default_css=False,
    )
    pictures = gr.HTML(
        "", js_on_load=results.RESULTS_SCRIPT, elem_id="results", apply_default_css=False
    )
    return shown, pictures


def _connect_form(handlers: FormHandlers, filled: Form) -> None:
    prompt, variant, shape = filled.prompt, filled.variant, filled.shape
    on(filled.model.input, handlers.choose_model, [filled.model, prompt], filled.everything)
    on(prompt.change, handlers.heed_prompt, [prompt, variant], [filled.note], at_once=True)
    on(filled.chips.select, handlers.take_example, [], [prompt])
    on(filled.random_seed.click, handlers.random_seed, [], [filled.seed])
    more = filled.advanced
    guidance = more.guidance_scale
    on(guidance.input, handlers.heed_guidance, [guidance, variant], filled.guided)
    sides = [more.width, more.height]
    for picker in (shape, more.megapixels):
        on(picker.input, handlers.choose_shape, [shape, more.megapixels, variant], sides)
    for side in sides:
        on(side.input, handlers.heed_sides, [*sides, more.megapixels, variant], [shape])


def _connect_pictures(
    handlers: FormHandlers, filled: Form, parts: JobParts, dropped: _Dropped
) -> None:
    model, seed = filled.model, filled.seed
    restored = [*filled.everything, dropped.note]
    on(filled.last_seed.click, handlers.last_seed, [parts.shown], [seed])
    on(parts.results.select, handlers.recall, [parts.shown, model], restored)
    on(dropped.file.change, handlers.restore, [dropped.file, model], restored)


def _connect_job(handlers: JobHandlers, filled: Form, parts: JobParts, demo: gr.Blocks) -> None:
    shows = [parts.stage, parts.results, parts.shown, parts.generate, parts.cancel, parts.job]
    started = parts.generate.click(
        handlers.start,
        [parts.visitor, parts.shown],
        shows,
        inputs_kwargs={**filled.fields},
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    found = demo.load(
        handlers.attach,
        [parts.browser],
        [*shows, parts.browser, parts.visitor],
        js=TAB_SCRIPT,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    for begun in (started, found):
        begun.success(
            handlers.watch,
            [parts.job, parts.shown],
            shows,
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
    on(parts.cancel.click, handlers.stop, [parts.job], [parts.cancel], at_once=True)
    demo.unload(handlers.leave)
