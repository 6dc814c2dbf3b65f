"""What happens to the pictures of the Edit tab: they come, are edited, compared and walked back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block

from engine import (
    BadRequest,
    Chain,
    Inputs,
    NotFound,
    Request,
    StudioError,
    Task,
    picture_size,
    request_from_recipe,
    trace,
)
from ui import bindings
from ui import edit_strings as words
from ui.components.chain import View, chain_markup
from ui.components.compare import compare_markup
from ui.components.pictures import MOST, Given, pictures_markup
from ui.components.results import Shown
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup, file_url, join, tag
from ui.tabs.form_handlers import picture_at
from ui.uploads import uploaded

Updates = dict[Block, Any]

INTENDED: Final = ("model", "images", "task", "strength")
"""The fields that decide what will be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditParts:
    """The components of the Edit tab beside those of its easel.

    pictures: where they are dropped; images: their names, as a request has them; given: all that
    the page knows of them. view: what is shown of the chain of edits.
    """

    pictures: gr.HTML
    images: gr.State
    given: gr.State
    intention: gr.HTML
    strength: gr.Slider
    task: gr.Radio
    compare: gr.HTML
    chain: gr.HTML
    view: gr.State

    @property
    def chosen(self) -> list[Block]:
        """What changes with the pictures to edit."""
        return [self.pictures, self.images, self.given]

    @property
    def seen(self) -> list[Block]:
        """What changes with the step that is looked at."""
        return [self.compare, self.chain, self.view]


class EditHandlers:
    """The handlers of pictures and steps."""

    def __init__(self, page: PageContext, parts: EditParts) -> None:
        self._page = page
        self._parts = parts

    @plain_errors()
    def add(self, event: gr.EventData, given: tuple[Given, ...], view: View, model: str) -> Updates:
        """Keep the pictures that a browser uploaded; the first of all begins a chain."""
        paths = event.paths if isinstance(event.paths, list) else []
        if not paths:
            raise NotFound(words.NOT_KEPT, words.NOT_KEPT_ACTION)
        if len(given) + len(paths) > MOST:
            raise BadRequest(words.TOO_MANY, words.TOO_MANY_ACTION)
        added = tuple(self._keep(uploaded(path)) for path in paths)
        return self._choose((*given, *added), view, model)

    @plain_errors()
    def remove(
        self, event: gr.EventData, given: tuple[Given, ...], view: View, model: str
    ) -> Updates:
        """Take a picture away."""
        gone = _picture(event.index, given)
        return self._choose(tuple(one for one in given if one is not gone), view, model)

    @plain_errors()
    def put_first(
        self, event: gr.EventData, given: tuple[Given, ...], view: View, model: str
    ) -> Updates:
        """Make a picture the one that is edited."""
        first = _picture(event.index, given)
        others = (one for one in given if one is not first)
        return self._choose((first, *others), view, model)

    def path(self, view: View) -> Path:
        """Return the file of the step that is looked at; raise `NotFound`."""
        return Inputs(self._page.engine.settings.data_dir).path(view.chosen())

    def take(
        self, path: Path, given: tuple[Given, ...], view: View, model: str
    ) -> dict[Block, Any]:
        """Edit a picture that another part of the page sends; raise an error of the tree."""
        return self._choose((self._keep(path), *given[1:]), view, model)

    @plain_errors()
    def heed_model(self, given: tuple[Given, ...], model: str) -> Markup:
        """Offer room for as many pictures as the model reads."""
        return pictures_markup(given, several=self._edits(model))

    @plain_errors()
    def intend(self, *values: object) -> tuple[Markup, dict[str, Any]]:
        """Say what will be done, for the fields of `INTENDED`, and whether strength matters."""
        fields = {"prompt": "", **dict(zip(INTENDED, values, strict=True))}
        edits = self._edits(str(fields["model"]))
        by_words = fields["task"] == Task.EDIT or (fields["task"] == Task.AUTO and edits)
        info = words.STRENGTH_IGNORED if by_words else words.STRENGTH_INFO
        strength = gr.update(interactive=not by_words, info=info)
        try:
            said, kind = self._page.engine.intention(bindings.read(fields)), "note"
        except StudioError as error:
            said, kind = str(error), "note warn"
        lines = [tag("p", said, class_=kind, role="status")]
        if not edits:
            lines.append(tag("p", words.NO_EDITORS, class_="note"))
        return join(*lines), strength

    @plain_errors()
    def arrive(
        self, shown: tuple[Shown, ...], given: tuple[Given, ...], view: View, model: str
    ) -> Updates:
        """Hang new results into the chain, and compare the newest with what it was made of."""
        known = {picture.url for picture in view.pictures.values()}
        fresh = [one for one in reversed(shown) if one.url not in known]
        if not fresh:
            return {self._parts.view: gr.skip()}
        for picture in fresh:
            # Older ones may be of another picture, which was edited before and has its own chain.
            if picture is shown[0] or _source(picture) in {_source(shown[0]), *view.names}:
                view = self._grown(view, picture)
        updates = self._look(view)
        if not given and (base := view.sides[0]) is not None:
            # The page was loaded again while it was painted.
            updates |= self._choose((base,), view, model)
        return updates

    @plain_errors()
    def look(self, event: gr.EventData, view: View) -> Updates:
        """Look at a step."""
        return self._look(replace(view, looked=view.chain.find(str(event.step)).name))

    @plain_errors()
    def hold(self, view: View) -> Updates:
        """Compare all steps with the one that is looked at, or each with its own before again."""
        chosen = view.chosen()
        return self._look(replace(view, held=None if view.held == chosen else chosen))

    @plain_errors()
    def go_on(self, given: tuple[Given, ...], view: View, model: str) -> Updates:
        """Edit the step that is looked at."""
        picture = view.pictures[view.chosen()]
        return self._choose((picture, *given[1:]), view, model)

    @plain_errors()
    def recall(
        self, event: gr.EventData, shown: tuple[Shown, ...], view: View, model: str
    ) -> Updates:
        """Take over the pictures that a result was made of, with the settings of this tab."""
        request, _ = request_from_recipe(dict(picture_at(event.index, shown).recipe))
        return self._restored(request, view, model)

    def _restored(self, request: Request, view: View, model: str) -> Updates:
        found = tuple(filter(None, (self._known(name, view) for name in request.images)))
        # Not empty: Gradio takes an empty answer for none at all.
        updates: Updates = {self._parts.view: gr.skip()}
        if found:
            updates |= self._choose(found, view, model)
        if request.strength is not None:
            updates[self._parts.strength] = request.strength
        return updates

    def _choose(self, given: tuple[Given, ...], view: View, model: str) -> Updates:
        """Return the page with other pictures to edit; a new first one brings its own chain."""
        updates: Updates = {
            self._parts.pictures: pictures_markup(given, several=self._edits(model)),
            self._parts.images: tuple(one.name for one in given),
            self._parts.given: given,
        }
        if given:
            updates |= self._look(self._standing(view, given[0]))
        return updates

    def _standing(self, view: View, first: Given) -> View:
        """Return the view from a picture: of the chain that it belongs to."""
        if view.chain.has(first.name):
            return replace(view, chain=view.chain.walked(first.name))
        chain = trace(first.name, Inputs(self._page.engine.settings.data_dir))
        pictures = {link.name: self._known(link.name, view) for link in chain.links}
        known = {name: one for name, one in pictures.items() if one is not None}
        return View(chain=chain, pictures={**known, first.name: first}, looked=first.name)

    def _grown(self, view: View, picture: Shown) -> View:
        """Return the view with one more result, which is looked at."""
        name = self._page.engine.keep_input(picture.path)
        request, _ = request_from_recipe(dict(picture.recipe))
        own = Given(name=name, url=picture.url, width=picture.width, height=picture.height)
        chain = view.chain.grown(name, request) if view.chain.links else self._traced(name, request)
        missing = (link.name for link in chain.links if link.name not in view.pictures)
        found = {other: self._known(other, view) for other in missing if other != name}
        known = {other: one for other, one in found.items() if one is not None}
        pictures = {**view.pictures, **known, name: own}
        return replace(view, chain=chain, pictures=pictures, looked=name)

    def _traced(self, name: str, request: Request) -> Chain:
        """Return the chain of a result that the page has none for."""
        data_dir = self._page.engine.settings.data_dir
        found = trace(name, Inputs(data_dir))
        grown = found if len(found.links) > 1 else Chain().grown(name, request)
        return replace(grown, at=grown.find(name).parent)

    def _look(self, view: View) -> Updates:
        return {
            self._parts.compare: compare_markup(*view.sides, view.titles),
            self._parts.chain: chain_markup(view),
            self._parts.view: view,
        }

    def _edits(self, model: str) -> bool:
        """Say whether a model follows instructions; one that is not there does not."""
        try:
            return self._page.find_model(model).variant.edits
        except StudioError:
            return False

    def _keep(self, path: Path) -> Given:
        """Keep a picture to edit; raise `FileRejected` for what is none."""
        width, height = picture_size(path)
        name = self._page.engine.keep_input(path)
        return Given(name=name, url=self._url(path), width=width, height=height)

    def _known(self, name: str, view: View) -> Given | None:
        """Return a kept picture, None for one that is gone."""
        if name in view.pictures:
            return view.pictures[name]
        try:
            path = Inputs(self._page.engine.settings.data_dir).path(name)
            width, height = picture_size(path)
        except StudioError:
            return None
        return Given(name=name, url=self._url(path), width=width, height=height)

    def _url(self, path: Path) -> str:
        """Return where the page serves a copy of a picture: the user's folders are not served."""
        return file_url(str(self._parts.pictures.move_resource_to_block_cache(path)))


def _source(picture: Shown) -> str | None:
    """Return the name of the picture that a result was made of."""
    images = picture.request.get("images")
    return str(images[0]) if isinstance(images, (list, tuple)) and images else None


def _picture(index: object, given: tuple[Given, ...]) -> Given:
    if not isinstance(index, int) or not 0 <= index < len(given):
        raise NotFound(words.GONE, words.GONE_ACTION)
    return given[index]
