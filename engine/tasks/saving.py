"""Writes what a job made: pictures with their recipes, and latents where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

from engine.events import Outside, Picture
from engine.images.metadata import RECIPE, make_recipe, write_text
from engine.images.save import encode, texts_that_fit
from engine.request import Task
from engine.storage import atomic_write, make_folder, picture_name, sweep_temporary
from engine.tasks.job import Job

LOSSLESS: Final = frozenset({".png", ".webp"})
LOSSY: Final = (
    "JPEG stores every pixel anew, so that those outside the mask change a little too. Save as PNG "
    "to keep them."
)


def save_pictures(job: Job) -> tuple[Picture, ...]:
    """Write the pictures of a job, and its latents [N, 16, h, w] float32 where wanted.

    All files or none: everything is encoded before the first is written, and where one fails those
    before it are removed again.
    """
    output = job.order.output
    paths = [output.folder.absolute() / name for name in _names(job)]
    if job.frame.task is Task.INPAINT and any(map(_is_lossy, paths)):
        job.warn(LOSSY)
    recipes = [_recipe(job, index, path) for index, path in enumerate(paths)]
    files = {
        path: _encoded(job, picture, path.suffix.lower(), recipe)
        for path, picture, recipe in zip(paths, job.pictures, recipes, strict=True)
    }
    if output.latents is not None:
        files[output.latents] = save({"latents": torch.cat(job.latents)})
    job.check()
    make_folder(output.folder)
    sweep_temporary(output.folder)
    _write_all(files.items())
    made = zip(paths, recipes, job.pictures, job.outside, strict=True)
    return tuple(_saved(*parts) for parts in made)


def _names(job: Job) -> tuple[str, ...]:
    """Return the names of the files of a job, fresh ones where none are asked for."""
    count, suffix = len(job.pictures), job.order.file_type.suffix
    fresh = tuple(picture_name(datetime.now(), suffix) for _ in range(count))
    return job.order.output.file_names(count) or fresh


def _saved(
    path: Path, recipe: dict[str, object], pixels: Tensor, outside: Outside | None
) -> Picture:
    """Describe the file of a picture [H, W, 3] uint8."""
    height, width, _ = pixels.shape
    kept = None if _is_lossy(path) else outside
    return Picture(path=path, recipe=recipe, width=width, height=height, outside=kept)


def _encoded(job: Job, picture: Tensor, suffix: str, recipe: dict[str, object]) -> bytes:
    """Return a picture [H, W, 3] uint8 as a file; of many, each is time enough for a cancel."""
    job.check()
    texts = write_text(recipe) if job.order.metadata else {}
    if RECIPE in texts and RECIPE not in texts_that_fit(suffix, texts):
        job.warn(f"The recipe is too long for a {suffix} file, and is not in it.")
    return encode(picture, suffix, texts)


def _is_lossy(path: Path) -> bool:
    """Say whether a file does not keep every pixel as it was painted."""
    return path.suffix.lower() not in LOSSLESS


def _write_all(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file; where one fails, those before it are removed again."""
    with ExitStack() as undo:
        for path, data in files:
            atomic_write(path, data)
            undo.callback(path.unlink, missing_ok=True)
        undo.pop_all()


def _recipe(job: Job, index: int, path: Path) -> dict[str, object]:
    own = job.request.with_values(seed=(job.request.seed or 0) + index, count=1)
    height, width, _ = job.pictures[index].shape
    outside = None if _is_lossy(path) else job.outside[index]
    counted = {} if outside is None else {"outside": asdict(outside)}
    return make_recipe(
        own,
        model_hash=job.checkpoint.digest,
        precision=job.place.precision,
        plan=job.describe(index),
        warnings=job.warnings,
        facts={"size": [width, height], **counted},
    )
