"""The Generate tab: words in, picture out."""

from __future__ import annotations

import gradio as gr

from ui import strings
from ui.components import form, restore, results, stage
from ui.components.form import Form
from ui.components.loras import build_loras
from ui.context import PageContext
from ui.handlers import on
from ui.tabs.form_handlers import FORETOLD, FormHandlers
from ui.tabs.job_handlers import JobHandlers, JobParts
from ui.tabs.lora_handlers import LoraHandlers

IDENTITY_SCRIPT = "() => [window.atelierIdentity()]"


def build_generate(page: PageContext, demo: gr.Blocks, status: gr.HTML) -> None:
    """Build the tab inside `demo` and connect it. status: tells when there is more to offer."""
    with gr.Row(equal_height=False, elem_id="generate-tab"):
        with gr.Column(scale=5, min_width=320, elem_id="left"):
            filled, buttons, told, dropped = _build_left(page)
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
        identity=gr.Textbox(visible=False),
    )
    handlers = FormHandlers(page, filled, dropped)
    _connect_form(handlers, filled)
    _connect_models(handlers, filled, status)
    _connect_loras(LoraHandlers(page, filled.loras), filled)
    _connect_forecast(handlers, filled, told, status)
    _connect_pictures(handlers, filled, parts, dropped)
    _connect_job(JobHandlers(page, parts), filled, parts, demo)


def _build_left(page: PageContext) -> tuple[Form, tuple[gr.Button, gr.Button], gr.HTML, gr.HTML]:
    variant = page.first_model
    with gr.Column(elem_classes="card"):
        prompt, note = form.build_prompt(variant)
    buttons = _build_buttons()
    told = gr.HTML("", elem_id="forecast", apply_default_css=False)
    chips = form.build_chips(variant)
    with gr.Column(elem_classes="card"):
        model, model_note = form.build_model(variant, paths=page.owner)
        shape = form.build_shape(variant)
        count = form.build_count()
        seed, random_seed, last_seed = form.build_seed()
    loras = build_loras(paths=page.owner)
    with gr.Accordion(strings.ADVANCED, open=False, elem_id="advanced"):
        advanced = form.build_advanced(variant)
    dropped = _build_restore()
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
    )
    return filled, buttons, told, dropped


def _build_buttons() -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_id="go"):
        generate = gr.Button(strings.GENERATE, variant="primary", size="lg", elem_id="generate")
        cancel = gr.Button(
            strings.CANCEL, variant="stop", size="lg", visible=False, elem_id="cancel"
        )
    return generate, cancel


def _build_restore() -> gr.HTML:
    with gr.Accordion(strings.RESTORE, open=False, elem_id="restore"):
        return gr.HTML(
            "",
            html_template=restore.drop_template(),
            js_on_load=restore.DROP_SCRIPT,
            elem_id="dropped",
            apply_default_css=False,
        )


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


def _connect_models(handlers: FormHandlers, filled: Form, status: gr.HTML) -> None:
    known = [filled.model, filled.prompt, filled.loras.loras]
    on(filled.model.input, handlers.choose_model, known, filled.everything)
    on(filled.model_note.select, handlers.settle, known, filled.everything)
    on(status.select, handlers.list_anew, [], [filled.model, filled.loras.add], at_once=True)


def _connect_forecast(
    handlers: FormHandlers, filled: Form, told: gr.HTML, status: gr.HTML
) -> None:
    """Tell anew what a job would take when the form changes, and when the machine is known."""
    # Gradio gives its components their events only while it runs.
    changes = [getattr(filled.fields[name], "change") for name in FORETOLD]  # noqa: B009
    gr.on(
        [*changes, status.select],
        handlers.foretell,
        [filled.fields[name] for name in FORETOLD],
        [told],
        queue=False,
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )


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


def _connect_job(handlers: JobHandlers, filled: Form, parts: JobParts, demo: gr.Blocks) -> None:
    shows = [parts.stage, parts.results, parts.shown, parts.generate, parts.cancel, parts.job]
    starters = ((parts.generate, handlers.generate), (filled.loras.compare, handlers.compare))
    for button, handler in starters:
        button.click(
            handler,
            [parts.visitor, parts.shown],
            shows,
            inputs_kwargs={**filled.fields},
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )
    demo.load(
        handlers.attach,
        [parts.identity],
        [*shows, parts.visitor],
        js=IDENTITY_SCRIPT,
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    on(parts.cancel.click, handlers.stop, [parts.job], [parts.cancel], at_once=True)
    demo.unload(handlers.leave)
