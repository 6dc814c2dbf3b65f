"""The Edit tab: a picture and an instruction in, a step of a chain out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import gradio as gr
from gradio.components import Component

from engine import Availability, StudioError, Variant
from ui import edit_strings as words
from ui.components.chain import CHAIN_SCRIPT, View
from ui.components.compare import COMPARE_SCRIPT
from ui.components.form import Words
from ui.components.ids import Ids
from ui.components.pictures import PICTURES_SCRIPT, pictures_markup
from ui.context import PageContext
from ui.handlers import changes, on, on_any
from ui.tabs.batch import Batch
from ui.tabs.easel import Easel, Plan, build_easel, connect_easel
from ui.tabs.edit_handlers import INTENDED, EditHandlers, EditParts
from ui.tabs.sending import Arrival, Leaving

WORDS: Final = Words(
    label=words.INSTRUCTION,
    hint=words.INSTRUCTION_HINT,
    button=words.BUTTON,
    invitation=words.INVITATION,
)
IDS: Final = Ids("edit")
STRENGTH: Final = 0.6


def build_edit(page: PageContext, demo: gr.Blocks, status: gr.HTML) -> tuple[Easel, Arrival]:
    """Build the tab inside `demo` and connect it; return how pictures arrive in it.

    status: tells when there is more to offer.
    """
    variant = _first(page)
    tab = _Builder(variant)
    batch = Batch(page, IDS) if page.owner else None
    plan = Plan(
        words=WORDS,
        above=tab.build_pictures,
        below=tab.build_choices if batch is None else lambda: tab.build_with(batch),
        aside=tab.build_view,
        variant=variant,
    )
    easel = build_easel(page, IDS, plan)
    connect_easel(page, easel, demo, status)
    parts = tab.parts()
    handlers = EditHandlers(page, parts)
    _connect(handlers, parts, easel, status)
    if batch is not None:
        batch.connect(demo, easel, parts.view)
    arrival = Arrival(
        take=handlers.take,
        outputs=[*parts.chosen, *parts.seen],
        inputs=[parts.given, parts.view, easel.form.model],
        sends={"inpaint": Leaving(event=parts.chain.submit, file=handlers.path, of=parts.view)},
    )
    return easel, arrival


def _first(page: PageContext) -> Variant:
    """Return the model to begin with: one that edits by instruction, if one is here."""
    # Only those that come along are looked at: the page must open at once.
    known = (m for m in page.engine.models() if m.edits and m.folder and m.folder.is_dir())
    for model in known:
        with suppress(StudioError):
            found = page.engine.catalogue.look(model.name)
            if found.availability is Availability.HERE:
                return found.variant
    return page.first_model


class _Builder:
    """Builds the components of the tab, each where the easel has room for it."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._made: dict[str, Component] = {}

    def parts(self) -> EditParts:
        """Return what was built."""
        return EditParts(**self._made)  # type: ignore[arg-type]

    def build_pictures(self) -> Mapping[str, Component]:
        """Build the place for the pictures."""
        self._made["pictures"] = gr.HTML(
            pictures_markup((), several=self._variant.edits),
            js_on_load=PICTURES_SCRIPT,
            **IDS.mark("pictures"),
            apply_default_css=False,
        )
        self._made["images"] = images = gr.State(())
        self._made["given"] = gr.State(())
        return {"images": images}

    def build_choices(self) -> Mapping[str, Component]:
        """Build what decides how a picture is edited, and the line that says so."""
        self._made["intention"] = gr.HTML("", **IDS.mark("intention"), apply_default_css=False)
        with gr.Column(elem_classes="card"):
            self._made["strength"] = strength = gr.Slider(
                0, 1, STRENGTH, step=0.05, label=words.STRENGTH, info=words.STRENGTH_INFO,
                **IDS.mark("strength"),
            )  # fmt: skip
            self._made["task"] = task = gr.Radio(
                label=words.TASK, info=words.TASK_INFO, choices=list(words.TASKS), value="auto",
                **IDS.mark("task"),
            )  # fmt: skip
        return {"strength": strength, "task": task}

    def build_with(self, batch: Batch) -> Mapping[str, Component]:
        """Build the choices, and below them what takes many pictures at once."""
        choices = self.build_choices()
        batch.build()
        return choices

    def build_view(self) -> Mapping[str, Component]:
        """Build the comparison and the steps."""
        self._made["compare"] = gr.HTML(
            "", js_on_load=COMPARE_SCRIPT, **IDS.mark("before-after"), apply_default_css=False
        )
        self._made["chain"] = gr.HTML(
            "", js_on_load=CHAIN_SCRIPT, **IDS.mark("chain"), apply_default_css=False
        )
        self._made["view"] = gr.State(View())
        return {}


def _connect(handlers: EditHandlers, parts: EditParts, easel: Easel, status: gr.HTML) -> None:
    form, shown = easel.form, easel.parts.shown
    known: list[Component] = [parts.given, parts.view, form.model]
    changed = [*parts.chosen, *parts.seen]
    on(parts.pictures.upload, handlers.add, known, changed)
    on(parts.pictures.delete, handlers.remove, known, changed)
    on(parts.pictures.select, handlers.put_first, known, changed)
    on(form.model.change, handlers.heed_model, [parts.given, form.model], [parts.pictures])
    on(easel.parts.results.change, handlers.arrive, [shown, *known], changed)
    recalled = [*changed, parts.strength]
    on(easel.parts.results.select, handlers.recall, [shown, parts.view, form.model], recalled)
    on(parts.chain.select, handlers.look, [parts.view], parts.seen)
    on(parts.chain.like, handlers.hold, [parts.view], parts.seen)
    on(parts.chain.apply, handlers.go_on, known, changed)
    _connect_intention(handlers, parts, easel, status)


def _connect_intention(
    handlers: EditHandlers, parts: EditParts, easel: Easel, status: gr.HTML
) -> None:
    """Say anew what will be done whenever something changes that decides it."""
    form = easel.form
    changing = (form.model, parts.pictures, parts.task)
    given = [form.fields[name] for name in INTENDED]
    told = [parts.intention, parts.strength]
    on_any([*changes(changing), status.select], handlers.intend, given, told)
