"""The Settings tab: what holds for every picture on this computer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import gradio as gr
from gradio.components import Component

from engine import (
    Attention,
    BadRequest,
    FileType,
    Language,
    Precision,
    Profile,
    Settings,
    Theme,
    models_folder,
)
from ui import settings_strings, strings
from ui.context import PageContext
from ui.handlers import QUIET, on_any, plain_errors
from ui.markup import Markup, tag
from ui.tabs.machine import build_machine
from ui.tabs.models import build_models
from ui.tabs.sharing import build_sharing
from ui.tabs.stores import build_stores

WEAR_SCRIPT: Final = "(theme) => { window.atelierTheme(theme); window.atelierSpeak(); }"
TELL_SECONDS: Final = 0.5
CHOICES: Final[Mapping[str, type[StrEnum]]] = MappingProxyType(
    {
        "precision": Precision,
        "profile": Profile,
        "attention": Attention,
        "file_type": FileType,
        "theme": Theme,
        "language": Language,
    }
)
FOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "output_folder": strings.OUTPUT_FOLDER,
        "model_folder": settings_strings.MODEL_FOLDER,
        "lora_folder": strings.LORA_FOLDER,
    }
)
"""The folders of the settings, as they are called."""

Fields = dict[str, Component]
"""The widgets whose values are saved, by the name of the setting."""


def build_settings(page: PageContext, demo: gr.Blocks, tab: gr.Tab) -> None:
    """Build the tab and connect it."""
    with gr.Column(elem_id="settings-tab"):
        with gr.Column(elem_id="settings-left"):
            _build_left(page, demo, tab)
        with gr.Column(elem_id="settings-right"):
            if page.sharing is not None:
                build_sharing(page.sharing, tab)
            build_models(page, tab)
            build_stores(page, tab)


def _build_left(page: PageContext, demo: gr.Blocks, tab: gr.Tab) -> None:
    """Build what is saved by the button below it."""
    now = page.engine.settings
    if page.notices:
        gr.HTML(_notices_markup(page.notices), apply_default_css=False)
    with _card(settings_strings.THIS_COMPUTER):
        fields = build_machine(page, tab)
    with _card(settings_strings.PICTURES):
        fields |= _build_pictures(now)
    with _card(settings_strings.FOLDERS):
        folders, move = _build_folders(now)
        fields |= folders
    with _card(settings_strings.PAGE):
        fields |= _build_page(now)
    save = gr.Button(strings.SAVE, variant="primary", elem_id="save-settings")
    said = gr.HTML("", elem_id="settings-note", apply_default_css=False)
    handlers = SettingsHandlers(page, fields)
    saved = save.click(
        handlers.save,
        outputs=[said],
        inputs_kwargs={**fields, "move": move},
        concurrency_limit=1,
        **QUIET,
    )
    saved.success(None, [fields["theme"]], None, js=WEAR_SCRIPT)
    known = gr.State()
    # On loading too: what comes once the tab is open may come after a choice made there.
    on_any([demo.load, tab.select], handlers.show, [known], [*fields.values(), known])


class SettingsHandlers:
    """The handlers of the tab."""

    def __init__(self, page: PageContext, fields: Fields) -> None:
        self._page = page
        self._fields = fields

    async def save(self, *, move: bool, **values: Any) -> AsyncIterator[Markup]:
        """Keep the settings, and say so once they are on the disk."""
        with plain_errors():
            engine = self._page.engine
            wanted = _chosen(engine.settings, values)
            said = strings.SAVED
            if move:
                async for progress in self._move(wanted):
                    said = progress or said
                    yield tag("p", said, class_="note", role="status")
            else:
                engine.update_settings(wanted)
            self._page.shelf.change()
            yield tag("p", said, class_="note good", role="status")

    @plain_errors()
    def show(self, known: Settings | None) -> list[Any]:
        """Return what is kept now, whatever page or program saved it, and that it is known.

        What is known already is left alone: the answer may come after the first choice made here.
        """
        now = self._page.engine.settings
        if now == known:
            return [gr.skip()] * (len(self._fields) + 1)
        return [*(shown(now, name) for name in self._fields), now]

    async def _move(self, wanted: Settings) -> AsyncIterator[str]:
        """Move files and keep the settings; tell now and then how far that is."""
        far = [(0, 0)]

        def tell(done: int, total: int) -> None:
            far[0] = done, total

        move = self._page.engine.move_files
        task = asyncio.ensure_future(asyncio.to_thread(move, wanted, tell))
        while not task.done():
            await asyncio.wait({task}, timeout=TELL_SECONDS)
            if not task.done():
                yield settings_strings.moving(*far[0])
        count = task.result()
        moved = f" {settings_strings.moved(count)}" if count else ""
        yield f"{strings.SAVED}{moved}"


def shown(settings: Settings, name: str) -> Any:  # noqa: ANN401
    """Return a setting as its widget shows it."""
    if name == "model_folder":
        return str(models_folder(settings.data_dir))
    value = getattr(settings, name)
    return str(value) if isinstance(value, StrEnum | Path) else value


def _chosen(now: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the settings with what the widgets hold; raise `BadRequest`."""
    chosen: dict[str, Any] = dict(values)
    for name, kind in CHOICES.items():
        if values[name] not in list(kind):
            raise BadRequest(strings.UNKNOWN_CHOICE, strings.UNKNOWN_CHOICE_ACTION)
        chosen[name] = kind(values[name])
    chosen["device"] = str(values["device"]).strip()
    # A number field that was never touched sends 0 for nothing.
    chosen["vram_gb"] = values["vram_gb"] or None
    for name, title in FOLDERS.items():
        chosen[name] = _full_path(title, str(values[name]))
    if chosen["model_folder"] == models_folder(now.data_dir):
        chosen["model_folder"] = now.model_folder
    return replace(now, **chosen)


def _card(title: str) -> gr.Column:
    """Begin a card with its title."""
    column = gr.Column(elem_classes="card")
    with column:
        gr.HTML(tag("h2", title), elem_classes="card-title", apply_default_css=False)
    return column


def _build_pictures(now: Settings) -> Fields:
    return {
        "file_type": gr.Radio(
            label=settings_strings.FILE_TYPE,
            info=settings_strings.FILE_TYPE_INFO,
            choices=list(settings_strings.FILE_TYPES),
            value=str(now.file_type),
            elem_id="file-type",
        ),
        "metadata": gr.Checkbox(
            label=settings_strings.METADATA,
            info=settings_strings.METADATA_INFO,
            value=now.metadata,
            elem_id="metadata",
        ),
        "preview_seconds": gr.Dropdown(
            label=settings_strings.PREVIEWS,
            info=settings_strings.PREVIEWS_INFO,
            choices=_rates(now.preview_seconds),
            value=now.preview_seconds,
            elem_id="preview-rate",
        ),
    }


def _rates(now: float) -> list[tuple[str, float]]:
    """Return the rates on offer, and the one that a settings file names beside them."""
    known = list(settings_strings.PREVIEW_RATES)
    offered = {seconds for _, seconds in known}
    return known if now in offered else [*known, (f"{now:g} s", now)]


def _build_folders(now: Settings) -> tuple[Fields, gr.Checkbox]:
    infos = {
        "output_folder": strings.OUTPUT_FOLDER_INFO,
        "model_folder": settings_strings.MODEL_FOLDER_INFO,
        "lora_folder": strings.LORA_FOLDER_INFO,
    }
    fields: Fields = {
        name: gr.Textbox(
            label=title,
            info=infos[name],
            value=shown(now, name),
            max_lines=1,
            elem_id=name.replace("_", "-"),
        )
        for name, title in FOLDERS.items()
    }
    move = gr.Checkbox(
        label=settings_strings.MOVE,
        info=settings_strings.MOVE_INFO,
        value=False,
        elem_id="move-files",
    )
    return fields, move


def _build_page(now: Settings) -> Fields:
    return {
        "theme": gr.Radio(
            label=strings.THEME,
            choices=list(strings.THEMES),
            value=str(now.theme),
            elem_id="theme",
        ),
        "language": gr.Radio(
            label=settings_strings.LANGUAGE,
            info=settings_strings.LANGUAGE_INFO,
            choices=list(settings_strings.LANGUAGES),
            value=str(now.language),
            elem_id="language",
        ),
    }


def _full_path(what: str, text: str) -> Path:
    path = Path(text.strip()).expanduser()
    if not path.is_absolute():
        sentence = f"The {what} {text.strip()!r:.80} is not a full path."
        raise BadRequest(sentence, strings.FULL_PATH)
    return path


def _notices_markup(notices: tuple[str, ...]) -> Markup:
    return tag("div", *(tag("p", notice, class_="note warn", role="status") for notice in notices))
