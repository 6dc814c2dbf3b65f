"""What happens to the adapters of a form: one is added, switched, removed, or looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from engine import BadRequest, StudioError
from ui import strings
from ui.chosen import Chosen, read_chosen, write_chosen
from ui.components import loras
from ui.components.loras import LoraParts, Truth
from ui.context import PageContext
from ui.handlers import plain_errors

Updates = dict[Block, Any]


class LoraHandlers:
    """The handlers of the adapters."""

    def __init__(self, page: PageContext, parts: LoraParts) -> None:
        self._page = page
        self._parts = parts

    @plain_errors()
    def add(self, name: str | None, text: str, model: str) -> Updates:
        """Put an adapter on the list; one that cannot be read is refused."""
        wanted, chosen = (name or "").strip().strip('"'), read_chosen(text)
        if not wanted:
            return self.shown(chosen, model)
        if wanted in {one.name for one in chosen}:
            raise BadRequest(strings.LORA_THERE, strings.LORA_THERE_ACTION)
        self._page.report(wanted, model)
        shown = self.shown((*chosen, Chosen(name=wanted)), model)
        return shown | {self._parts.add: gr.update(value=None)}

    @plain_errors()
    def remove(self, event: gr.EventData, model: str) -> Updates:
        """Show the adapters that remain."""
        return self.shown(read_chosen(event.value), model)

    @plain_errors()
    def switch(self, event: gr.EventData) -> dict[str, Any]:
        """Count the adapters that are on."""
        return self._heading(read_chosen(event.value))

    @plain_errors()
    def add_word(self, event: gr.EventData, prompt: str) -> str:
        """Put a trigger word at the end of the prompt, unless it is there."""
        word, begun = str(event.word), prompt.rstrip().rstrip(",")
        if word.lower() in prompt.lower():
            return prompt
        return f"{begun}, {word}" if begun else word

    def shown(self, chosen: Sequence[Chosen], model: str) -> Updates:
        """Return what the page shows for some adapters and a model."""
        truths = [self._truth(one, model) for one in chosen]
        leave = any(truth.needs_leave for truth in truths)
        return {
            self._parts.section: self._heading(chosen),
            self._parts.loras: gr.update(
                value=write_chosen(chosen), panel=loras.panel_markup(truths)
            ),
            self._parts.lora_partial: gr.update(visible=leave),
            self._parts.compare: gr.update(visible=bool(chosen)),
        }

    def restored(self, names: object) -> tuple[tuple[Chosen, ...], tuple[str, ...]]:
        """Return those adapters of a recipe that are here, and a note on each that is not."""
        here, notes = list[Chosen](), list[str]()
        for one in read_chosen(names):
            try:
                entry = self._page.shelf.find_lora(one.name)
            except StudioError as error:
                notes.append(str(error))
                continue
            here.append(Chosen(name=entry.name, weight=one.weight))
        return tuple(here), tuple(notes)

    def _heading(self, chosen: Sequence[Chosen]) -> dict[str, Any]:
        update: dict[str, Any] = gr.update(label=strings.loras(sum(one.on for one in chosen)))
        return update

    def _truth(self, chosen: Chosen, model: str) -> Truth:
        try:
            report = self._page.report(chosen.name, model)
            found = self._page.engine.catalogue if report.has_thumbnail else None
            picture = found.lora_thumbnail(chosen.name) if found else None
        except StudioError as error:
            return Truth(chosen=chosen, fault=str(error))
        return Truth(chosen=chosen, report=report, thumbnail=picture)
