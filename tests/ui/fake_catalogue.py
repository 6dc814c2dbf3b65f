"""What there is to paint with, as far as the page's tests are concerned."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from engine import (
    Availability,
    Catalogue,
    FileRejected,
    LoraReport,
    ModelEntry,
    NotFound,
    Settings,
    Verdict,
)
from engine.storage import atomic_write
from engine.variants import VARIANTS, by_name

HERE = ("demo-turbo", "demo-base", "demo-omni", "turbo", "base", "twinflow-turbo")
"""The rest of those that have public weights can be fetched."""


class Shelves:
    """The lists behind every fake catalogue of an engine; tests change them."""

    def __init__(self) -> None:
        self.added: dict[str, ModelEntry] = {}
        self.fetched: set[str] = set()


class FakeCatalogue(Catalogue):
    """Adapters are files of any content: "half" fits in part, "stranger" not, others do."""

    def __init__(self, settings: Settings, shelves: Shelves) -> None:
        super().__init__(settings)
        self._shelves = shelves
        self._folder = settings.lora_folder

    def models(self) -> tuple[ModelEntry, ...]:
        entries = [self._offer(variant.name) for variant in VARIANTS]
        return (*entries, *self._shelves.added.values())

    def look(self, name: str) -> ModelEntry:
        found = next((entry for entry in self.models() if entry.name == name), None)
        if found is not None:
            return found
        if Path(name).is_dir():
            raise FileRejected(f"The folder {name} holds no model.")
        if not Path(name).exists():
            raise NotFound(f"There is no model {name!r}.")
        return model(Path(name).name, name=name, sure=False)

    def add(self, path: Path) -> ModelEntry:
        if not path.exists():
            raise NotFound(f"There is no file {path}.")
        self._shelves.added[path.name] = model(path.name, added=True)
        return self._shelves.added[path.name]

    def remove(self, name: str) -> None:
        del self._shelves.added[name]

    def settle(self, name: str, variant: str) -> None:
        settled = replace(self.look(name), variant=by_name(variant), sure=True)
        self._shelves.added[name] = settled

    def lora(self, name: str, model: str) -> LoraReport:
        path = self._folder / name
        if not path.exists():
            raise NotFound(f"There is no LoRA {name!r}.")
        if path.stem == "broken":
            raise FileRejected(f"{name} is damaged.", "Download it again.")
        return report(path.stem, has_thumbnail=path.stem == "ink")

    def lora_thumbnail(self, name: str) -> bytes | None:
        data = io.BytesIO()
        Image.new("RGB", (64, 64), "teal").save(data, "JPEG")
        return data.getvalue()

    def _offer(self, name: str) -> ModelEntry:
        variant = by_name(name)
        if variant.unavailable is not None:
            absent = Availability.NOWHERE
            return model(variant.title, name=name, availability=absent, note=variant.unavailable)
        if name in HERE or name in self._shelves.fetched:
            size = 12_388_838 if variant.folder else 20_000_000_000
            return model(variant.title, name=name, size=size)
        size = sum(file.size for file in variant.downloads[0].files)
        return model(variant.title, name=name, availability=Availability.FETCH, size=size)


def model(title: str, *, name: str = "", **values: object) -> ModelEntry:
    """Make up a model; one that bears no variant's name is taken for Turbo."""
    variant = next((v for v in VARIANTS if v.name == name), by_name("turbo"))
    told = {"availability": Availability.HERE, **values}
    if told["availability"] is Availability.HERE:
        told.setdefault("precision", "f16")
    return ModelEntry(name=name or title, title=title, variant=variant, **told)


def report(stem: str, **values: object) -> LoraReport:
    """Make up what an adapter is."""
    verdicts = {"half": Verdict.PARTLY, "stranger": Verdict.NOT}
    verdict = verdicts.get(stem, Verdict.FITS)
    matched = {Verdict.FITS: 210, Verdict.PARTLY: 120, Verdict.NOT: 0}[verdict]
    sentences = {
        Verdict.FITS: f"{stem} fits: 210 of 210 modules are in the model.",
        Verdict.PARTLY: f"{stem} does not fit this model: 120 of 210 modules fit the model. "
        "Use --lora-partial to apply what fits.",
        Verdict.NOT: f"{stem} was made for <b>SDXL</b>, not for Z-Image: 0 of 210 modules fit.",
    }
    told = {
        "name": stem, "dialect": "diffusers", "forms": ("LoRA",), "size": 81_000_000,
        "ranks": (16,), "alphas": (16.0,), "matched": matched, "total": 210,
        "unmatched": ("down_blocks.0.<i>attn</i>",) if matched < 210 else (), "misshapen": (),
        "duplicates": 0, "text_encoder": 0, "trained_for": "turbo", "has_thumbnail": False,
        "trigger_words": ("inkwash style", "<script>"), "verdict": verdict,
        "usable": verdict is Verdict.FITS, "sentence": sentences[verdict],
    }  # fmt: skip
    return LoraReport(**{**told, **values})


def put_lora(folder: Path, name: str) -> None:
    """Lay an adapter into a folder."""
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, b"adapter")
