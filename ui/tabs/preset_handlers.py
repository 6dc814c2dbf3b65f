"""What happens to presets: one is taken over, the form is kept as one, a model gets defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block

from engine import BadRequest, NotFound, Preset, Request
from ui import bindings
from ui import presets_strings as words
from ui.components import presets, styles
from ui.components.form import COUNTS, SAMPLERS
from ui.components.presets import PresetParts
from ui.components.styles import StylesParts
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.tabs.form_handlers import FormHandlers

Updates = dict[Block, Any]

BOUND: Final = frozenset({"steps", "guidance_scale", "shift", "width", "height", "negative"})
"""The settings that suit one model and perhaps no other."""


class PresetHandlers:
    """The handlers of the presets of a form; what guests may not do, their presets refuse."""

    def __init__(
        self, page: PageContext, handlers: FormHandlers, parts: PresetParts, style: StylesParts
    ) -> None:
        self._page = page
        self._handlers = handlers
        self._parts = parts
        self._styles = style

    @plain_errors()
    def take(self, title: str | None, model: str) -> Updates:
        """Set the form to a preset; what it does not hold of prompt and seed stays."""
        if not title:
            return dict(gr.skip())
        preset, form = self._page.presets.preset(title), self._handlers.form
        settings, notices = self._usable(preset, model)
        request = Request.from_json({"prompt": "", **settings})
        updates, missing = self._handlers.shown(request)
        updates.pop(form.seed)
        if "prompt" not in settings:
            updates.pop(form.prompt)
            updates.pop(form.note)
        for name in form.extra.keys() & settings.keys():
            updates[form.extra[name]] = gr.update(value=settings[name])
        updates |= self._styled(preset, notices)
        updates[self._parts.note] = presets.note_markup(preset.note, [*notices, *missing])
        return updates

    @plain_errors()
    def save(self, title: str, with_prompt: bool, **values: object) -> Updates:
        """Keep the form as a preset of the user."""
        if not title.strip():
            raise BadRequest(words.NO_TITLE)
        settings = self._settings(values)
        if not with_prompt:
            settings.pop("prompt")
        style = str(values.get("style") or "") or None
        kept = self._page.presets.keep(title, settings, style)
        note = presets.note_markup(words.saved(kept.title), kept.notices)
        return self._listed(kept.title) | {self._parts.note: note, self._parts.title: ""}

    @plain_errors()
    def delete(self, title: str | None) -> Updates:
        """Delete a preset of the user."""
        if not title or not self._page.presets.is_own(title):
            raise NotFound(words.NOT_OWN)
        self._page.presets.remove(title)
        return self._listed(None) | {self._parts.note: presets.note_markup(words.deleted(title))}

    @plain_errors()
    def keep_defaults(self, **values: object) -> Updates:
        """Let the model begin with the form's settings from now on."""
        model = self._page.find_model(str(values["model"]))
        self._page.presets.keep_defaults(model.variant.name, self._settings(values))
        return {self._parts.note: presets.note_markup(words.defaults_kept(model.title))}

    @plain_errors()
    def forget_defaults(self, name: str) -> Updates:
        """Let the model begin with the program's settings again."""
        model = self._page.find_model(name)
        self._page.presets.forget_defaults(model.variant.name)
        return {self._parts.note: presets.note_markup(words.defaults_forgotten(model.title))}

    def _usable(self, preset: Preset, model: str) -> tuple[dict[str, object], list[str]]:
        """Return the settings of a preset that this page has, and why the others are left out."""
        settings, notices = dict(preset.settings), [*preset.notices]
        if settings.get("sampler", SAMPLERS[0]) not in SAMPLERS:
            notices.append(words.unknown_sampler(settings.pop("sampler")))
        if settings.get("count", COUNTS[0]) not in COUNTS:
            settings.pop("count")
        wanted = str(settings.get("model", model))
        if wanted != model and not self._page.has_model(wanted):
            # What suits one model may spoil the pictures of another.
            notices.append(words.other_model(wanted))
            settings = {name: settings[name] for name in settings.keys() - BOUND}
            wanted = model
        return {**settings, "model": wanted}, notices

    def _styled(self, preset: Preset, notices: list[str]) -> Updates:
        """Choose the style of a preset, or none; one that is not there is told."""
        parts, title = self._styles, preset.style or ""
        style = None
        if title:
            try:
                style = self._page.presets.style(title)
            except NotFound:
                notices.append(words.unknown_style(title))
        chosen = style.title if style else ""
        return {
            parts.style: gr.update(**styles.style_choices(self._page.presets, chosen)),
            parts.note: styles.style_markup(style),
            parts.use: gr.update(visible=False),
        }

    def _settings(self, values: Mapping[str, object]) -> dict[str, object]:
        return bindings.read({"prompt": "", **values}).to_json()

    def _listed(self, chosen: str | None) -> Updates:
        offered = presets.choices(self._page.presets, chosen)
        return {self._parts.preset: gr.update(**offered)}
