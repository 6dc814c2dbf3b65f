"""What happens to the words and the size of a form: styles, word lists, tokens, shapes."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import TRAINED_TOKENS, LongPrompt, Reading, StudioError, Variant
from ui import bindings, strings
from ui.components import forecast, size, styles
from ui.components.form import Form, guidance_updates
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup

Updates = dict[Block, Any]


class WordHandlers:
    """The handlers of a form's words."""

    def __init__(self, page: PageContext, form: Form) -> None:
        self._page = page
        self._form = form

    @plain_errors()
    def read(self, prompt: str, model: str, style: str, way: str, seed: str) -> tuple[Markup, Any]:
        """Say how the prompt is read; what cannot be gets its reason."""
        return self._told(prompt, model, style, way, seed, first=0)

    @plain_errors()
    def draw(
        self, event: gr.EventData, prompt: str, model: str, style: str, way: str, seed: str
    ) -> tuple[Markup, Any]:
        """Show other examples of what may be drawn."""
        first = event.draw if isinstance(event.draw, int) else 0
        return self._told(prompt, model, style, way, seed, first=first)

    @plain_errors()
    def choose_style(self, title: str) -> tuple[Markup, Any]:
        """Say what a style adds."""
        style = self._page.presets.style(title) if title else None
        usable = style is not None and bool(style.settings or style.shape)
        return styles.style_markup(style), gr.update(visible=usable)

    @plain_errors()
    def use_settings(self, title: str, megapixels: float, match: bool, variant: Variant) -> Updates:
        """Take the shape and the settings that a style recommends, where the model heeds them.

        match: the picture keeps its size, so that no shape has an effect.
        """
        form, style = self._form, self._page.presets.style(title)
        updates: Updates = {}
        if style.shape is not None and not match:
            width, height = size.fitting(variant, style.shape[0] / style.shape[1], megapixels)
            updates |= self._sized(width, height, megapixels, variant)
        guidance = style.settings.get("guidance_scale")
        low, high = variant.limits.guidance_scale
        if guidance is None or not high:
            return updates or dict(gr.skip())
        guidance = min(high, max(low, guidance))
        updates |= guidance_updates(form, variant, guidance)
        updates[form.advanced.guidance_scale] = guidance
        for name in bindings.NEUTRAL.keys() & style.settings.keys():
            updates[form.fields[name]] |= {"value": style.settings[name]}
        return updates

    @plain_errors()
    def add_list(self, event: gr.EventData, prompt: str) -> str:
        """Add a word list to the prompt."""
        name = str(event.list)
        self._page.presets.wildcards.words(name)
        return f"{prompt} __{name}__".strip()

    @plain_errors()
    def heed_shape(self, shape: str) -> dict[str, Any]:
        """Offer other shapes beside a size of one's own."""
        return dict(gr.update(visible=shape == strings.CUSTOM))

    @plain_errors()
    def heed_match(self, match: bool) -> Updates:
        """Let nobody choose a size while the picture keeps its own."""
        sized = (self._form.shape, self._form.advanced.width, self._form.advanced.height)
        return {one: gr.update(interactive=not match) for one in sized}

    @plain_errors()
    def choose_other(self, text: str | None, megapixels: float, variant: Variant) -> Updates:
        """Set width and height to a shape by its name or its numbers."""
        if not text:
            return dict(gr.skip())
        ratio = size.ratio_of(text, self._page.presets.shapes[0])
        width, height = size.fitting(variant, ratio, megapixels)
        return self._sized(width, height, megapixels, variant)

    @plain_errors()
    def heed_size(self, width: float | None, height: float | None, variant: Variant) -> Markup:
        """Warn of a size beyond what the model was trained on."""
        return size.note_markup(variant, width, height)

    def _sized(self, width: int, height: int, megapixels: float, variant: Variant) -> Updates:
        advanced = self._form.advanced
        shape = size.shape_of(variant, width, height, megapixels)
        return {advanced.width: width, advanced.height: height, self._form.shape: shape}

    def _told(
        self, prompt: str, model: str, style: str, way: str, seed: str, *, first: int
    ) -> tuple[Markup, Any]:
        presets = self._page.presets
        if not prompt.strip():
            return Markup(""), gr.update(visible=False)
        try:
            asked = bindings.read({"prompt": prompt, "seed": seed, "long_prompt": way})
            seeds = range(first, first + styles.EXAMPLES) if asked.seed is None else [asked.seed]
            drawn = [presets.wildcards.expand(prompt, one).prompt for one in seeds]
            painted = presets.style(style).apply(drawn[0]) if style else drawn[0]
        except StudioError as error:
            return forecast.reason_markup(str(error)), gr.skip()
        reading = self._reading(painted, model, asked.long_prompt)
        # Words without lists are those of the prompt, whatever is drawn.
        shown = () if set(drawn) == {prompt} else drawn
        told = styles.reading_markup(reading, asked.long_prompt, shown, first + styles.EXAMPLES)
        long = reading is not None and reading.total > TRAINED_TOKENS
        return told, gr.update(visible=long or asked.long_prompt is not LongPrompt.CUT)

    def _reading(self, prompt: str, model: str, way: LongPrompt) -> Reading | None:
        """Return how a model reads a prompt; None where it is not here to count."""
        if not self._page.owner and not self._page.has_model(model):
            return None
        try:
            return self._page.engine.read_prompt(prompt, model, way)
        except StudioError:
            return None
