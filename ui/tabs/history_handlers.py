"""What happens in the History tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from engine import (
    BadRequest,
    History,
    NotFound,
    PastPicture,
    Request,
    Search,
    StudioError,
    request_from_recipe,
)
from ui import history_strings as words
from ui.components.gallery import (
    Chosen,
    back_markup,
    chosen_markup,
    gallery_markup,
    small_markup,
)
from ui.components.results import MAX_SHOWN, Shown, results_markup
from ui.context import PageContext
from ui.handlers import plain_errors
from ui.markup import Markup, file_url, tag
from ui.tabs.easel import Easel
from ui.tabs.form_handlers import FormHandlers
from ui.tabs.sending import Arrival

PAGE: Final = 24
SMALL_AT_ONCE: Final = 12

Updates = dict[Block, Any]
Visitor = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which part of what was found is shown. begin: id before its first, last: id of its last."""

    begin: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryParts:
    """The components of the tab. filters: words, model, adapter, first and last day, kind."""

    filters: tuple[Component, ...]
    note: gr.HTML
    gallery: gr.HTML
    small: gr.HTML
    chosen: gr.HTML
    newest: gr.Button
    older: gr.Button
    empty: gr.Button
    view: gr.State

    @property
    def page(self) -> list[Component]:
        """All that changes with what is looked for."""
        return [self.note, self.gallery, self.newest, self.older, self.empty, self.view]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a picture can go: easels and arrivals by tab."""

    tabs: gr.Tabs
    easels: Mapping[str, Easel]
    arrivals: Mapping[str, Arrival]


class HistoryHandlers:
    """The handlers of the tab; a visitor finds what the own browser asked for, and nothing else."""

    def __init__(self, page: PageContext, parts: HistoryParts, places: Places) -> None:
        self.parts = parts
        self._page = page
        self._places = places

    @plain_errors()
    def look(self, *asked: Any) -> Updates:
        """Show the newest pictures that are like what is asked for."""
        return self._show(View(), asked)

    @plain_errors()
    def open(self, *asked: Any) -> Updates:
        """Show the newest pictures, and offer the models and adapters that there are."""
        model, lora = self.parts.filters[1:3]
        try:
            models, loras = self._history.names(self._session(asked[-1]))
        except StudioError:
            # What is wrong stands where the pictures would.
            return self._show(View(), asked)
        titles = self._titles()
        known = [(titles.get(name, name), name) for name in models]
        adapters = [(name.removesuffix(".safetensors"), name) for name in loras]
        return {
            model: gr.update(choices=[(words.ANY_MODEL, ""), *known]),
            lora: gr.update(choices=[(words.ANY_LORA, ""), *adapters]),
            **self._show(View(), asked),
        }

    @plain_errors()
    def older(self, view: View, *asked: Any) -> Updates:
        """Show the pictures before those that are shown."""
        return self._show(View(begin=view.last), asked)

    @plain_errors()
    def make_small(self, event: gr.EventData, visitor: Visitor) -> Markup:
        """Make the small pictures that the gallery misses."""
        asked = event.pictures if isinstance(event.pictures, list) else []
        session, small = self._session(visitor), dict[int, bytes | None]()
        for number in asked[:SMALL_AT_ONCE]:
            try:
                small[int(number)] = self._history.thumbnail(
                    self._history.picture(int(number), session)
                )
            except (NotFound, TypeError, ValueError):
                # It went meanwhile, or never was.
                continue
        return small_markup(small)

    @plain_errors()
    def choose(self, event: gr.EventData, visitor: Visitor) -> Markup:
        """Show a picture large."""
        return self._large(self._picture(event, visitor))

    def close(self) -> str:
        """Show no picture large."""
        return ""

    @plain_errors()
    def favour(self, event: gr.EventData, view: View, *asked: Any) -> Updates:
        """Mark a picture as a favourite, or take the mark away."""
        picture = self._picture(event, asked[-1])
        self._history.favour(picture.id, favourite=not picture.favourite)
        said = words.NOT_FAVOURED if picture.favourite else words.FAVOURED
        large = self._large(self._picture(event, asked[-1]))
        return self._done(view, asked, said) | {self.parts.chosen: large}

    @plain_errors()
    def throw_away(self, event: gr.EventData, view: View, *asked: Any) -> Updates:
        """Move a picture into the trash."""
        picture = self._picture(event, asked[-1])
        self._history.throw_away(picture.id)
        return self._done(view, asked, words.THROWN_AWAY, back_markup(picture.id))

    @plain_errors()
    def take_back(self, event: gr.EventData, view: View, *asked: Any) -> Updates:
        """Move a picture out of the trash again."""
        self._history.take_back(self._picture(event, asked[-1]).id)
        return self._done(view, asked, words.TAKEN_BACK)

    @plain_errors()
    def empty_trash(self, view: View, *asked: Any) -> Updates:
        """Delete for good what is in the trash, and say how many that were."""
        count = self._history.empty_trash(self._session(asked[-1]))
        return self._done(view, asked, words.deleted(count))

    @plain_errors()
    def recall(self, event: gr.EventData, visitor: Visitor, *shown: tuple[Shown, ...]) -> Updates:
        """Put a picture among the results of the tab it is of, whose own button takes it over."""
        picture = self._picture(event, visitor)
        known = dict(zip(self._places.easels, shown, strict=True))
        tab = _tab_of(picture.request) if _tab_of(picture.request) in known else "generate"
        parts = self._places.easels[tab].parts
        now = (self._shown(picture), *known[tab])[:MAX_SHOWN]
        return {
            self._places.tabs: gr.Tabs(selected=tab),
            parts.results: results_markup(now),
            parts.shown: now,
        }

    @plain_errors()
    def other_model(self, event: gr.EventData, visitor: Visitor) -> Updates:
        """Fill the main form with a picture's words, seed and size, for another model.

        Steps and guidance are that model's own: those of another would spoil the picture.
        """
        model = str(event.model)
        self._page.find_model(model)
        asked, _ = request_from_recipe(dict(self._picture(event, visitor).recipe))
        kept = ("prompt", "negative", "seed", "width", "height", "loras", "lora_partial")
        request = Request(**{name: getattr(asked, name) for name in kept}, model=model)
        easel = next(iter(self._places.easels.values()))
        updates, _ = FormHandlers(self._page, easel.form, easel.dropped).shown(request)
        return {self._places.tabs: gr.Tabs(selected="generate"), **updates}

    def sender(self, tab: str) -> Callable[..., Updates]:
        """Return what sends a picture to a tab that changes pictures."""
        arrival = self._places.arrivals[tab]

        @plain_errors()
        def send(event: gr.EventData, visitor: Visitor, *given: Any) -> Updates:
            picture = self._picture(event, visitor)
            taken = arrival.take(_file_of(picture), *given)
            return {self._places.tabs: gr.Tabs(selected=tab), **taken}

        return send

    @property
    def _history(self) -> History:
        history = self._page.engine.history
        if history is None:
            raise NotFound(words.NO_HISTORY, words.NO_HISTORY_ACTION)
        return history

    def _session(self, visitor: Visitor) -> str | None:
        return self._page.session(visitor[0])

    def _picture(self, event: gr.EventData, visitor: Visitor) -> PastPicture:
        number = event.picture
        if isinstance(number, bool) or not isinstance(number, int):
            raise BadRequest(f"{number!r:.40} is no picture.")
        return self._history.picture(number, self._session(visitor))

    def _show(self, view: View, asked: tuple[Any, ...]) -> Updates:
        """Return the page of what is asked for: filters, then who asks; a wrong one is told."""
        try:
            search = _search(asked[:-1])
            session, before = self._session(asked[-1]), view.begin
            found = self._history.find(
                replace(search, session=session, before=before, most=PAGE + 1)
            )
        except StudioError as error:
            return {self.parts.note: tag("p", str(error), class_="note warn", role="alert")}
        shown = found[:PAGE]
        kept = {one.id: self._history.thumbnail(one, make=False) for one in shown}
        small = {number: jpeg for number, jpeg in kept.items() if jpeg is not None}
        last = shown[-1].id if shown else None
        begun, more = view.begin is not None, len(found) > PAGE
        return {
            self.parts.note: "",
            self.parts.gallery: gallery_markup(shown, small, _nothing(search)),
            self.parts.newest: gr.update(interactive=begun, visible=begun or more),
            self.parts.older: gr.update(interactive=more, visible=begun or more),
            self.parts.empty: gr.update(visible=search.trash and bool(shown)),
            self.parts.view: View(begin=view.begin, last=last),
        }

    def _done(self, view: View, asked: tuple[Any, ...], *said: str) -> Updates:
        """Return the page of what is asked for, no picture large, and what was just done."""
        updates = self._show(view, asked)
        # Where the page could not be shown, that is what must be told.
        if self.parts.gallery in updates:
            updates[self.parts.note] = tag("p", *said, class_="note good", role="status")
        return {self.parts.chosen: "", **updates}

    def _large(self, picture: PastPicture) -> Markup:
        url = self._url(picture) if picture.file.is_file() else ""
        return chosen_markup(Chosen(picture=picture, url=url, models=self._titles()))

    def _url(self, picture: PastPicture) -> str:
        # A copy in the page's own cache: the user's folder itself is never served.
        return file_url(str(self.parts.chosen.move_resource_to_block_cache(picture.file)))

    def _shown(self, picture: PastPicture) -> Shown:
        return Shown(
            url=self._url(picture) if picture.file.is_file() else "",
            name=picture.path.name,
            path=picture.file,
            model=self._titles().get(picture.model, picture.model),
            width=picture.width,
            height=picture.height,
            seconds=picture.seconds,
            recipe=picture.recipe,
        )

    def _titles(self) -> dict[str, str]:
        return {model.name: model.title for model in self._page.shelf.offered()}


def _search(filters: tuple[Any, ...]) -> Search:
    """Read what the page asks for; raise `BadRequest`."""
    text, model, lora, since, until, kind = filters
    return Search(
        words=text or "",
        model=model or "",
        lora=lora or "",
        since=_midnight(since),
        until=_midnight(until, later=1),
        favourites=kind == "favourites",
        trash=kind == "trash",
    )


def _midnight(text: object, later: int = 0) -> float | None:
    """Return when a day began, in seconds since 1970, or one some days later.

    None where no day is given; raise `BadRequest`.
    """
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        found = datetime.strptime(text.strip(), "%Y-%m-%d") + timedelta(days=later)
        return found.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise BadRequest(words.bad_day(text), words.BAD_DAY_ACTION) from error


def _nothing(search: Search) -> str:
    if search.trash:
        return words.TRASH_EMPTY
    return words.NOTHING if search == Search() else words.NOTHING_FOUND


def _tab_of(request: Mapping[str, Any]) -> str:
    """Return the tab whose settings a picture was painted with."""
    if not request.get("images"):
        return "generate"
    parts = (request.get("mask"), request.get("regions"), any(request.get("extend") or ()))
    return "inpaint" if any(parts) else "edit"


def _file_of(picture: PastPicture) -> Path:
    if not picture.file.is_file():
        raise NotFound(words.FILE_GONE.format(name=picture.path.name), words.FILE_GONE_ACTION)
    return picture.file
