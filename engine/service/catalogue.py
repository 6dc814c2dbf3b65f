"""What there is to paint with: models that are here or can be fetched, and adapters. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.library import FILE, Library
from engine.checkpoints.memory import remember
from engine.errors import StudioError
from engine.hub.record import installed
from engine.lora.file import read_lora
from engine.lora.library import LoraEntry, list_loras
from engine.lora.report import LoraReport, describe_lora
from engine.request import Request
from engine.settings import Settings, models_folder
from engine.tasks.find import find_model, lora_path
from engine.variants import VARIANTS, Variant, by_name


class Availability(StrEnum):
    """Whether a model can be painted with."""

    HERE = "here"
    FETCH = "fetch"
    NOWHERE = "nowhere"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model on offer.

    name: what a request calls it. precision: number types of its files. size: bytes of its files,
    here or to be fetched. note: what to tell of a model that is not here. added: the user added it,
    and may take it off the list. sure: whether something says which variant it is; the user can.
    """

    name: str
    title: str
    variant: Variant
    availability: Availability
    precision: str = ""
    size: int = 0
    note: str = ""
    added: bool = False
    sure: bool = True


class Catalogue:
    """Looks at the folders that the settings name, anew each time it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._library = Library(settings.data_dir)

    def models(self) -> tuple[ModelEntry, ...]:
        """Return every model: those that are here first."""
        entries = [*self._variants(), *self._added()]
        return tuple(sorted(entries, key=lambda entry: entry.availability is not Availability.HERE))

    def look(self, name: str) -> ModelEntry:
        """Describe one model, by its name or path; raise an error of the tree if it cannot be."""
        asked = Request(prompt="", model=name, precision=self._settings.precision)
        found = find_model(asked, self._settings.data_dir)
        return ModelEntry(
            name=name,
            title=next((v.title for v in VARIANTS if v.name == name), Path(name).name),
            variant=found.variant,
            availability=Availability.HERE,
            precision=_precision(found),
            size=found.size,
            sure=found.variant_known,
        )

    def add(self, path: Path) -> ModelEntry:
        """Put a file or folder on the list; raise `NotFound`, `BadRequest` or `FileRejected`."""
        known = self._library.add(path)
        return next(entry for entry in self._added() if entry.name == known.name)

    def remove(self, name: str) -> None:
        """Take a model that the user added off the list, not off the disk; raise `NotFound`."""
        self._library.remove(name)

    def settle(self, name: str, variant: str) -> None:
        """Remember which variant a model is; raise an error of the tree."""
        chosen = by_name(variant)
        asked = Request(prompt="", model=name, variant=chosen.name)
        found = find_model(asked, self._settings.data_dir)
        remember(found.parts.transformer.digest, chosen.name, self._settings.data_dir)

    def loras(self) -> tuple[LoraEntry, ...]:
        """Return the adapters in the user's folder."""
        return list_loras(self._settings.lora_folder)

    def lora(self, name: str, model: str) -> LoraReport:
        """Say what an adapter is and how it fits a model; raise an error of the tree."""
        config = find_model(Request(prompt="", model=model), self._settings.data_dir).transformer
        return describe_lora(lora_path(name, self._settings.lora_folder), config)

    def lora_thumbnail(self, name: str) -> bytes | None:
        """Return an adapter's picture, a JPEG of at most 256 pixels a side; None without one."""
        # Pillow is not there yet when the installer imports the engine.
        from engine.lora.thumbnail import thumbnail

        return thumbnail(read_lora(lora_path(name, self._settings.lora_folder)))

    def _variants(self) -> Iterator[ModelEntry]:
        here = {model.variant for model in installed(models_folder(self._settings.data_dir))}
        for variant in VARIANTS:
            if variant.folder is not None or variant.name in here:
                yield self._entry(variant.name, variant.title, variant)
            elif variant.unavailable is not None:
                yield _absent(variant, Availability.NOWHERE, note=variant.unavailable)
            else:
                sizes = [sum(f.size for f in d.files) for d in variant.downloads]
                yield _absent(variant, Availability.FETCH, size=sizes[0] if sizes else 0)

    def _added(self) -> Iterator[ModelEntry]:
        try:
            listed = self._library.list()
        except StudioError as error:
            told = {"name": FILE, "title": FILE, "note": str(error)}
            # A variant without downloads, or the page would offer to fetch it.
            yield _absent(by_name("demo-turbo"), Availability.DAMAGED, **told)
            return
        for known in listed:
            yield replace(self._entry(known.name, known.name, by_name("turbo")), added=True)

    def _entry(self, name: str, title: str, variant: Variant) -> ModelEntry:
        """Describe a model that is here; one that cannot be opened is shown with the reason.

        variant: what to take it for where it cannot be opened.
        """
        try:
            return replace(self.look(name), title=title)
        except StudioError as error:
            return _absent(variant, Availability.DAMAGED, name=name, title=title, note=str(error))


def _absent(variant: Variant, availability: Availability, **told: Any) -> ModelEntry:
    """Describe a model that cannot be painted with. told: what differs from its variant."""
    named = {"name": variant.name, "title": variant.title, **told}
    return ModelEntry(variant=variant, availability=availability, **named)


def _precision(checkpoint: Checkpoint) -> str:
    """Name the number type that most of the transformer is stored in."""
    kinds = [weight.kind for weight in checkpoint.parts.transformer.weights.values()]
    return max(sorted(set(kinds)), key=kinds.count)
