"""`app.py models`: lists the models there are, and says what a file or folder is."""

from __future__ import annotations

import argparse
import json

from engine.checkpoints.info import MODEL, ModelFile, describe
from engine.cli.terminal import say
from engine.settings import Settings
from engine.tasks.find import model_path
from engine.variants import VARIANTS, Variant


def list_models(options: argparse.Namespace) -> int:
    """Print the variants the program knows and whether their weights are here."""
    if options.json:
        say(json.dumps([_as_json(variant) for variant in VARIANTS]))
        return 0
    for variant in VARIANTS:
        state = "ready" if _is_here(variant) else "needs weights"
        say(f"{variant.name:<12} {state:<14} {variant.summary}")
    return 0


def show_model(options: argparse.Namespace) -> int:
    """Print what a model is, from its headers alone."""
    found = describe(model_path(options.model, Settings().data_dir))
    say(json.dumps(found.to_json()) if options.json else "\n".join(_in_words(found)))
    return 0


def _is_here(variant: Variant) -> bool:
    return variant.folder is not None and variant.folder.is_dir()


def _as_json(variant: Variant) -> dict[str, object]:
    return {
        "name": variant.name,
        "title": variant.title,
        "summary": variant.summary,
        "licence": variant.licence,
        "ready": _is_here(variant),
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
