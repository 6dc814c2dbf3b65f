"""What helps to fill in a form, the same in every tab: words, styles, sizes, presets, grids."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from ui.components.form import Form
from ui.components.ids import MAIN, Ids
from ui.components.presets import PresetParts, build_presets
from ui.components.shapes import SizeParts
from ui.components.styles import ReadingParts, StylesParts
from ui.context import PageContext
from ui.handlers import QUIET, changes, on, on_any
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.grid import Grid
from ui.tabs.preset_handlers import PresetHandlers
from ui.tabs.word_handlers import WordHandlers


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """The helpers of one form. grid: on the owner's page alone, and in the main tab."""

    reading: ReadingParts
    styles: StylesParts
    sizes: SizeParts
    presets: PresetParts
    grid: Grid | None = None

    @property
    def fields(self) -> dict[str, Component]:
        """The widgets that `ui.wording` reads beside the fields of a request."""
        return {"style": self.styles.style, "match": self.sizes.match}


def build_last(page: PageContext, ids: Ids) -> tuple[PresetParts, Grid | None]:
    """Build the helpers at the end of a form, folded away."""
    presets = build_presets(page.presets, ids, owner=page.owner)
    return presets, Grid(page, ids) if page.owner and ids.tab == MAIN else None


def connect_extras(
    page: PageContext, demo: gr.Blocks, extras: Extras, handlers: FormHandlers
) -> None:
    """Connect the helpers of a form."""
    form = handlers.form
    if extras.grid is not None:
        extras.grid.connect(demo, {**form.fields, **extras.fields})
    words = WordHandlers(page, form)
    _connect_words(words, extras, form)
    _connect_sizes(words, extras.sizes, form)
    kept = PresetHandlers(page, handlers, extras.presets, extras.styles)
    _connect_presets(kept, extras, form)


def _connect_words(handlers: WordHandlers, extras: Extras, form: Form) -> None:
    reading, styles = extras.reading, extras.styles
    given = [form.prompt, form.model, styles.style, reading.long_prompt, form.seed]
    told = [reading.told, reading.long_prompt]
    on_any(changes(given), handlers.read, given, told)
    on(reading.told.select, handlers.draw, given, told)
    on(styles.lists.select, handlers.add_list, [form.prompt], [form.prompt])
    on(styles.style.input, handlers.choose_style, [styles.style], [styles.note, styles.use])
    more = form.advanced
    taken = [form.shape, more.width, more.height, more.guidance_scale, *form.guided]
    use = [styles.style, more.megapixels, extras.sizes.match, form.variant]
    on(styles.use.click, handlers.use_settings, use, taken)


def _connect_sizes(handlers: WordHandlers, sizes: SizeParts, form: Form) -> None:
    more = form.advanced
    sides = [more.width, more.height]
    for one in (form.shape, *sides):
        one.interactive = not sizes.match.value
    on(sizes.match.input, handlers.heed_match, [sizes.match], [form.shape, *sides])
    on(form.shape.change, handlers.heed_shape, [form.shape], [sizes.other])
    chosen = [sizes.other, more.megapixels, form.variant]
    on(sizes.other.input, handlers.choose_other, chosen, [form.shape, *sides])
    on_any(changes(sides), handlers.heed_size, [*sides, form.variant], [sizes.note])


def _connect_presets(handlers: PresetHandlers, extras: Extras, form: Form) -> None:
    parts, styles = extras.presets, extras.styles
    everything = [*form.everything, styles.style, styles.note, styles.use, parts.note]
    on(parts.preset.input, handlers.take, [parts.preset, form.model], everything)
    listed = [parts.preset, parts.title, parts.note]
    values: dict[str, Block] = {**form.fields, **extras.fields}
    parts.save.click(
        handlers.save,
        [parts.title, parts.with_prompt],
        listed,
        inputs_kwargs=values,
        concurrency_limit=None,
        **QUIET,
    )
    parts.keep.click(
        handlers.keep_defaults,
        [],
        [parts.note],
        inputs_kwargs=values,
        concurrency_limit=None,
        **QUIET,
    )
    on(parts.delete.click, handlers.delete, [parts.preset], listed)
    on(parts.forget.click, handlers.forget_defaults, [form.model], [parts.note])
