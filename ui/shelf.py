"""The models and adapters on offer, looked through again when they may have changed."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from engine import Availability, DownloadStatus, Engine, LoraEntry, ModelEntry, NotFound
from ui import strings

PACE_SECONDS: Final = 2.0
"""Between two looks into the folder of adapters, however many tabs ask."""

OFFERED: Final = frozenset({Availability.HERE, Availability.DAMAGED})


class Shelf:
    """What the catalogue listed last.

    Opening every model takes too long for each click, so a list of models holds until a page is
    loaded, the settings change, a download ends or the owner changes the list.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._version = 0
        self._models: tuple[ModelEntry, ...] | None = None
        self._key: object = None
        self._loras: tuple[LoraEntry, ...] = ()
        self._looked = -PACE_SECONDS

    def models(self) -> tuple[ModelEntry, ...]:
        """Return every model that the program knows, here or not."""
        key = self._state()
        if self._models is None or key != self._key:
            self._models, self._key = self._engine.catalogue.models(), key
        return self._models

    def offered(self) -> tuple[ModelEntry, ...]:
        """Return the models that are here, damaged ones too."""
        return tuple(model for model in self.models() if model.availability in OFFERED)

    def find(self, name: str) -> ModelEntry | None:
        """Return a model of the list."""
        return next((model for model in self.models() if model.name == name), None)

    def loras(self) -> tuple[LoraEntry, ...]:
        """Return the adapters in the folder."""
        if time.monotonic() - self._looked >= PACE_SECONDS:
            self._loras = self._engine.catalogue.loras()
            self._looked = time.monotonic()
        return self._loras

    def find_lora(self, name: str) -> LoraEntry:
        """Return the adapter of a name, that of a sub-folder too where it is the only one.

        Raise `NotFound`.
        """
        entries = self.loras()
        exact = [entry for entry in entries if entry.name == name]
        below = [entry for entry in entries if entry.name.endswith(f"/{name}")]
        found = exact or below
        if len(found) != 1:
            raise NotFound(strings.lora_missing(name), strings.LORA_MISSING_ACTION)
        return found[0]

    def look_again(self) -> None:
        """List the models anew when they are asked for next."""
        self._models = None

    def change(self) -> None:
        """Note that the owner changed the list; every page is told."""
        self._version += 1

    def stamp(self) -> str:
        """Return a text that changes when a page must list models and adapters anew."""
        loras = [(entry.name, entry.size, entry.changed) for entry in self.loras()]
        status = self._engine.status()
        machine = status.total_bytes, status.precision, status.measured
        told = (self._state(), machine, loras)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:12]

    def _state(self) -> object:
        download = self._engine.downloads.state()
        done = download.plan is not None and download.status is DownloadStatus.DONE
        fetched = (download.plan.folder, download.plan.precision) if download.plan and done else ()
        return self._version, self._engine.settings, fetched
