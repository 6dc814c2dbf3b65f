"""Finds what a request names: a variant, a model that the user added, a path; an adapter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.library import Library
from engine.checkpoints.open import Hints, open_model
from engine.errors import FileRejected, NotFound
from engine.hub.record import installed, installed_folder, verify
from engine.lora.library import find_lora
from engine.request import Precision, Request
from engine.settings import models_folder
from engine.storage import is_remote
from engine.variants import SHORT_NAMES, VARIANTS, Variant, by_name


def find_model(request: Request, data_dir: Path) -> Checkpoint:
    """Open the model of a request; raise `NotFound` or `FileRejected`."""
    path = model_path(request.model, data_dir, request.precision)
    return open_model(path, hints=hints(request.variant, data_dir))


def check_download(
    checkpoint: Checkpoint, data_dir: Path, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Raise `FileRejected` if a file of a downloaded model is no longer what was downloaded.

    Only files that changed since they were last read are read, whole; `Cancelled` ends that.
    """
    folder = checkpoint.path
    downloads = {model.folder: model for model in installed(models_folder(data_dir))}
    if folder not in downloads:
        return
    model = downloads[folder]
    for fault in verify(folder, again=False, cancelled=cancelled):
        raise FileRejected(
            f"The downloaded file {fault.file} of {model.variant} {fault.problem}.",
            f"Mend it: python app.py models download {model.variant} --precision {model.precision}",
        )


def hints(variant: str | None, data_dir: Path) -> Hints:
    """Return what helps to open a model: what the user said, and the models that are here."""
    homes = tuple(model.folder for model in installed(models_folder(data_dir)))
    return Hints(variant=variant, homes=homes, data=data_dir)


def model_path(name: str, data_dir: Path, precision: Precision = Precision.AUTO) -> Path:
    """Return where a model lies; raise `NotFound`.

    name: a variant's, one of the user's list, or a path, in this order: a folder called turbo is
    given as ./turbo. Of a model that was downloaded more than once, the copy of `precision` is
    taken.
    """
    if name in {*SHORT_NAMES, *(variant.name for variant in VARIANTS)}:
        return _folder_of(by_name(name), data_dir, precision)
    added = Library(data_dir).find(name)
    if added is None and (is_remote(name) or not os.path.lexists(name)):
        # Raises, with the names there are.
        by_name(name)
    return added or Path(name)


def lora_path(name: str, folder: Path) -> Path:
    """Return the file of an adapter; raise `NotFound` or `BadRequest`.

    A bare name is looked for in the folder, so that what lies where the program was started never
    takes its place; it is a path only where the folder has no such name.
    """
    is_path = not is_remote(name) and os.path.lexists(name)
    if is_path and Path(name).parts != (name,):
        return Path(name)
    if Path(name).is_absolute():
        raise NotFound(
            f"There is no file {name!r:.300}.", f"Check the path, or give a name in {folder}."
        )
    try:
        return find_lora(name, folder)
    except NotFound:
        if not is_path:
            raise
        return Path(name)


def _folder_of(variant: Variant, data_dir: Path, precision: Precision) -> Path:
    folder = variant.folder or installed_folder(variant, models_folder(data_dir), precision)
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
