"""`app.py models`: lists the models there are, adds to them, and says what a file or folder is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.checkpoints.header import read_header
from engine.checkpoints.info import MODEL, ModelFile, describe
from engine.checkpoints.library import Known, Library
from engine.checkpoints.open import open_model
from engine.cli.terminal import one_line, say, warn
from engine.errors import FileRejected, UserError
from engine.hub.record import Installed, installed
from engine.lora.names import parse
from engine.lora.report import LoraReport, describe_lora
from engine.settings import models_folder
from engine.tasks.find import hints, model_path
from engine.variants import VARIANTS, Variant


def add_add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `models add` takes."""
    parser.add_argument("path", metavar="PATH", type=Path, help="a model's file or folder")
    parser.add_argument("--name", metavar="NAME", help="what to call it (default: as the file)")


def list_models(options: argparse.Namespace) -> int:
    """Print the variants the program knows, what there is of each, and what the user added."""
    data_dir = options.data_dir
    here, added = installed(models_folder(data_dir)), Library(data_dir).list()
    if options.json:
        own = [_added_as_json(known, data_dir) for known in added]
        say(json.dumps([*(_as_json(variant, here) for variant in VARIANTS), *own]))
        return 0
    for variant in VARIANTS:
        say(f"{variant.name:<15} {_state(variant, here):<16} {variant.summary}")
    for known in added:
        state, problem = _state_of_added(known, data_dir)
        say(f"{known.name:<15} {state:<16} {known.path}{problem and f': {problem}'}")
    return 0


def add_model(options: argparse.Namespace) -> int:
    """Put a model of the user's on the list; print the name it can be painted with.

    What it lacks is a warning: it may be fetched, or put beside it, later.
    """
    data_dir = options.data_dir
    known = Library(data_dir).add(options.path, options.name)
    _, problem = _state_of_added(known, data_dir)
    if problem:
        warn(problem)
    say(known.name)
    return 0


def show_model(options: argparse.Namespace) -> int:
    """Print what a model is, from its headers alone."""
    data_dir = options.data_dir
    path = model_path(options.model, data_dir)
    if path.is_file() and any(map(parse, read_header(path).tensors)):
        found = describe_lora(path)
        if not found.matched and not found.text_encoder:
            raise FileRejected(found.sentence)
        say(json.dumps(found.to_json()) if options.json else "\n".join(_adapter_in_words(found)))
        return 0
    model = describe(path, hints(None, data_dir))
    say(json.dumps(model.to_json()) if options.json else "\n".join(_in_words(model)))
    return 0


def _adapter_in_words(found: LoraReport) -> list[str]:
    alphas = ", ".join(f"{alpha:g}" for alpha in found.alphas) or "none"
    ranks = ", ".join(map(str, found.ranks)) or "none"
    forms = ", ".join(found.forms) or "adapter"
    lines = [
        f"{found.name}: {forms}, {found.matched} of {found.total} modules",
        f"{found.size / 1e6:,.1f} MB, names as of {found.dialect}, rank {ranks}, alpha {alphas}",
    ]
    if found.trained_for:
        lines.append(f"made for {found.trained_for}, it seems")
    if found.trigger_words:
        lines.append(f"words: {', '.join(found.trigger_words)}")
    return [*lines, found.sentence]


def _state(variant: Variant, here: tuple[Installed, ...]) -> str:
    """Say in two words what there is of a model."""
    if variant.folder is not None:
        return "ready" if variant.folder.is_dir() else "missing"
    precisions = [model.precision for model in here if model.variant == variant.name]
    if precisions:
        return f"ready: {', '.join(precisions)}"
    return "not published" if variant.unavailable else "can be fetched"


def _as_json(variant: Variant, here: tuple[Installed, ...]) -> dict[str, object]:
    own = [model for model in here if model.variant == variant.name]
    return {
        "name": variant.name,
        "title": variant.title,
        "summary": variant.summary,
        "licence": variant.licence,
        "ready": bool(own) or (variant.folder is not None and variant.folder.is_dir()),
        "installed": {model.precision: str(model.folder) for model in own},
        "downloads": {
            download.precision: sum(file.size for file in download.files)
            for download in variant.downloads
        },
        "unavailable": variant.unavailable,
    }


def _state_of_added(known: Known, data_dir: Path) -> tuple[str, str]:
    """Say in two words what there is of a model, and why it cannot be painted with."""
    if not known.is_here:
        return "missing", ""
    try:
        open_model(known.path, hints=hints(None, data_dir))
    except UserError as error:
        return "not ready", one_line(str(error))
    return "ready", ""


def _added_as_json(known: Known, data_dir: Path) -> dict[str, object]:
    state, problem = _state_of_added(known, data_dir)
    return {
        "name": known.name,
        "path": str(known.path),
        "ready": state == "ready",
        "problem": problem or None,
        "added": True,
    }


def _in_words(found: ModelFile) -> list[str]:
    names = f"{found.dialect} names" + (f" behind {found.prefix!r}" if found.prefix else "")
    paints = found.part == MODEL or "transformer" in found.part
    variant = found.variant or ("Base or Turbo: the file does not say" if paints else "")
    lines = [
        ", ".join(part for part in (f"{found.name}: Z-Image", found.part, variant) if part),
        f"{found.size / 1e6:,.1f} MB, {found.tensors} tensors, {names}",
    ]
    lines += [f"{group}: {types}" for group, types in found.precision.items()]
    return lines + [f"problem: {problem}" for problem in found.problems]
