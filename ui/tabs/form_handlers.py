"""What happens to the form: a model is chosen, a picture's settings are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.utils import get_upload_folder

from engine import NotFound, Variant, read_recipe, request_from_recipe
from ui import bindings, strings
from ui.components import prompt, restore, size
from ui.components.form import Form, form_updates, guidance_updates
from ui.components.results import Shown
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup

Updates = dict[Component, Any]


class FormHandlers:
    """The handlers of a form. restored: where a picture is dropped."""

    def __init__(self, page: PageContext, form: Form, restored: gr.HTML) -> None:
        self._page = page
        self._form = form
        self._restored = restored

    @plain_errors()
    def choose_model(self, name: str, text: str) -> Updates:
        """Set the form to a model and its defaults; the prompt and the seed stay."""
        variant = self._page.find_model(name)
        values = {**bindings.NEUTRAL, **bindings.defaults(variant)}
        note = prompt.note_markup(variant, text)
        return form_updates(self._form, variant, values) | {self._form.note: note}

    @plain_errors()
    def heed_guidance(self, guidance_scale: float | None, variant: Variant) -> Updates:
        """Enable what only guidance uses, or say why it is off."""
        if guidance_scale is None:
            guidance_scale = variant.defaults.guidance_scale
        return guidance_updates(self._form, variant, guidance_scale)

    @plain_errors()
    def heed_prompt(self, text: str, variant: Variant) -> Markup:
        """Note the words that the model never saw."""
        return prompt.note_markup(variant, text)

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
    def recall(self, event: gr.EventData, shown: tuple[Shown, ...], model: str) -> Updates:
        """Take the seed, or all settings, of a picture on the page."""
        index = event.index
        if not isinstance(index, int) or not 0 <= index < len(shown):
            raise NotFound(strings.GONE, strings.GONE_ACTION)
        if event.act == "seed":
            return {self._form.fields["seed"]: _seed_of(shown[index])}
        return self._take_over(shown[index].recipe, model)

    @plain_errors()
    def restore(self, event: gr.EventData, model: str) -> Updates:
        """Take the settings of a dropped picture, and say what was left out."""
        return self._take_over(read_recipe(_uploaded(event.path)), model)

    def _take_over(self, recipe: Mapping[str, object], model: str) -> Updates:
        request, notes = request_from_recipe(dict(recipe))
        if not self._page.has_model(request.model):
            notes = (*notes, strings.model_missing(request.model))
            request = request.with_values(model=model)
        variant = self._page.find_model(request.model)
        values = bindings.to_widgets(request.with_values(count=1), variant)
        return form_updates(self._form, variant, values) | {
            self._form.note: prompt.note_markup(variant, request.prompt),
            self._restored: restore.restored_markup(request, variant.title, notes),
        }


def _uploaded(path: object) -> Path:
    """Return the file that a browser uploaded; what it names elsewhere is not looked at."""
    folder = Path(get_upload_folder()).resolve()
    found = Path(path).resolve() if isinstance(path, str) and "\0" not in path else folder
    if folder not in found.parents:
        raise NotFound(strings.NOT_UPLOADED, strings.NOT_UPLOADED_ACTION)
    return found


def _seed_of(picture: Shown) -> str:
    return str(picture.request.get("seed", ""))
