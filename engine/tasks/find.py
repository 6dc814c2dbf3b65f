"""Finds the model that a request names: a variant, or the path of files that the user has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.open import Hints, open_model
from engine.errors import NotFound
from engine.hub.record import installed, installed_folder
from engine.request import Precision, Request
from engine.variants import SHORT_NAMES, VARIANTS, Variant, by_name

MODELS: Final = "models"
"""Folder inside the data folder: the models that were downloaded."""


def find_model(request: Request, data_dir: Path) -> Checkpoint:
    """Open the model of a request; raise `NotFound` or `FileRejected`."""
    homes = tuple(model.folder for model in installed(data_dir / MODELS))
    hints = Hints(variant=request.variant, homes=homes, data=data_dir)
    return open_model(model_path(request.model, data_dir, request.precision), hints=hints)


def model_path(name: str, data_dir: Path, precision: Precision = Precision.AUTO) -> Path:
    """Return where the model of a variant's name or a path lies; raise `NotFound`.

    Names go first: a folder called turbo is given as ./turbo. Of a model that was downloaded more
    than once, the copy of `precision` is taken.
    """
    known = {*SHORT_NAMES, *(variant.name for variant in VARIANTS)}
    is_path = name not in known and os.path.lexists(name)
    return Path(name) if is_path else _folder_of(by_name(name), data_dir, precision)


def _folder_of(variant: Variant, data_dir: Path, precision: Precision) -> Path:
    folder = variant.folder or installed_folder(variant, data_dir / MODELS, precision)
    if folder is not None and folder.exists():
        return folder
    if folder is not None:
        raise NotFound(
            f"The weights of {variant.title} are missing: there is no folder {folder}.",
            "Get the program again, whole.",
        )
    if variant.unavailable is not None:
        raise NotFound(variant.unavailable)
    raise NotFound(
        f"The weights of {variant.title} are not here yet.",
        f"Fetch them: python app.py models download {variant.name}; or give the path of a file or "
        "folder that you have.",
    )
