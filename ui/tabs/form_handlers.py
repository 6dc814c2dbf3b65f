"""What happens to the form: a model is chosen, a picture's settings are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block

from engine import (
    BadRequest,
    NotFound,
    Request,
    StudioError,
    Variant,
    read_recipe,
    request_from_recipe,
)
from ui import bindings, strings
from ui.chosen import read_chosen
from ui.components import forecast, picker, prompt, restore, size
from ui.components.form import Form, form_updates, guidance_updates
from ui.components.results import Shown
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup
from ui.tabs.lora_handlers import LoraHandlers
from ui.uploads import uploaded
from ui.wording import plain_words

Updates = dict[Block, Any]

FORETOLD: Final = (
    "model", "width", "height", "count", "steps", "guidance_scale", "cfg_truncation", "step_cache",
    "loras",
)  # fmt: skip
"""The fields that change what a job takes."""


class FormHandlers:
    """The handlers of a form. restored: where a picture is dropped."""

    def __init__(self, page: PageContext, form: Form, restored: gr.HTML) -> None:
        self._page = page
        self.form = form
        self._restored = restored
        self._loras = LoraHandlers(page, form.loras)

    @plain_errors()
    def choose_model(self, name: str, text: str, loras: str) -> Updates:
        """Set the form to a model and its defaults; prompt, seed and adapters stay."""
        model = self._page.find_model(name)
        values = {**bindings.NEUTRAL, **bindings.defaults(model.variant), "step_cache": 0.0}
        return {
            **form_updates(self.form, model.variant, values),
            **self._loras.shown(read_chosen(loras), name),
            self.form.note: prompt.note_markup(model.variant, text),
            self.form.model_note: picker.note_markup(model, owner=self._page.owner),
        }

    @plain_errors()
    def settle(self, event: gr.EventData, name: str, text: str, loras: str) -> Updates:
        """Remember which variant a model is, and set the form to it."""
        if not self._page.owner:
            raise BadRequest(strings.FOREIGN_SETTLING)
        self._page.engine.catalogue.settle(name, str(event.variant))
        self._page.shelf.change()
        return self.choose_model(name, text, loras)

    @plain_errors()
    def foretell(self, *values: object) -> Markup:
        """Say what a job would take, for the fields of `FORETOLD`.

        A value that cannot be gets its reason; of a model that cannot be its own note tells.
        """
        given = {"prompt": "", **dict(zip(FORETOLD, values, strict=True))}
        if not self._page.owner and not self._page.has_model(str(given["model"])):
            return Markup("")
        try:
            request = bindings.read(given)
            return forecast.forecast_markup(self._page.engine.forecast(request))
        except BadRequest as error:
            return forecast.reason_markup(str(error))
        except StudioError:
            return Markup("")

    @plain_errors()
    def heed_guidance(self, guidance_scale: float | None, variant: Variant) -> Updates:
        """Enable what only guidance uses, or say why it is off."""
        if guidance_scale is None:
            guidance_scale = variant.defaults.guidance_scale
        return guidance_updates(self.form, variant, guidance_scale)

    @plain_errors()
    def heed_prompt(self, text: str, variant: Variant) -> Markup:
        """Note the words that the model never saw."""
        return prompt.note_markup(variant, plain_words(self._page.presets, text))

    @plain_errors()
    def take_example(self, event: gr.EventData) -> str:
        """Put an example into the prompt."""
        return str(event.prompt)

    @plain_errors()
    def choose_shape(self, shape: str, megapixels: float, variant: Variant) -> tuple[Any, Any]:
        """Set width and height to a shape; a size of one's own stays."""
        return size.sides(variant, shape, megapixels) or (gr.skip(), gr.skip())

    @plain_errors()
    def heed_sides(
        self, width: float | None, height: float | None, megapixels: float, variant: Variant
    ) -> str:
        """Name the shape that has these sides."""
        return size.shape_of(variant, width, height, megapixels)

    def random_seed(self) -> str:
        """Leave the seed to chance."""
        return ""

    @plain_errors()
    def last_seed(self, shown: tuple[Shown, ...]) -> str:
        """Take the seed of the newest picture."""
        if not shown:
            raise NotFound(strings.NO_PICTURE, strings.NO_PICTURE_ACTION)
        return _seed_of(shown[0])

    @plain_errors()
    def take_seed(self, event: gr.EventData, shown: tuple[Shown, ...]) -> str:
        """Take the seed of a picture on the page."""
        return _seed_of(picture_at(event.index, shown))

    @plain_errors()
    def recall(self, event: gr.EventData, shown: tuple[Shown, ...], model: str) -> Updates:
        """Take all settings of a picture on the page."""
        return self._take_over(picture_at(event.index, shown).recipe, model)

    @plain_errors()
    def restore(self, event: gr.EventData, model: str) -> Updates:
        """Take the settings of a dropped picture, and say what was left out."""
        return self._take_over(read_recipe(uploaded(event.path)), model)

    def _take_over(self, recipe: Mapping[str, object], model: str) -> Updates:
        request, notes = request_from_recipe(dict(recipe))
        if not self._page.has_model(request.model):
            notes = (*notes, strings.model_missing(request.model))
            request = request.with_values(model=model)
        updates, missing = self.shown(request.with_values(count=1))
        title = self._page.find_model(request.model).title
        notes = (*notes, *missing)
        return {**updates, self._restored: restore.restored_markup(request, title, notes)}

    def shown(self, request: Request) -> tuple[Updates, tuple[str, ...]]:
        """Return the form set to a request whose model is there, and what is left out of it."""
        found = self._page.find_model(request.model)
        values = bindings.to_widgets(request, found.variant)
        chosen, missing = self._loras.restored(values.pop("loras"))
        leave = values.pop("lora_partial")
        shown = self._loras.shown(chosen, request.model)
        shown[self.form.loras.lora_partial] |= {"value": leave}
        return {
            **form_updates(self.form, found.variant, values),
            **shown,
            self.form.note: prompt.note_markup(found.variant, request.prompt),
            self.form.model_note: picker.note_markup(found, owner=self._page.owner),
        }, tuple(missing)


def picture_at(index: object, shown: tuple[Shown, ...]) -> Shown:
    """Return a picture on the page by the index that the browser sends; raise `NotFound`."""
    if not isinstance(index, int) or not 0 <= index < len(shown):
        raise NotFound(strings.GONE, strings.GONE_ACTION)
    return shown[index]


def _seed_of(picture: Shown) -> str:
    return str(picture.request.get("seed", ""))
