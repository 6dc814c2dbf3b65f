"""Writes what a job made: pictures with their recipes, and latents where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from engine.events import Picture
from engine.images.metadata import make_recipe, write_text
from engine.images.save import encode_png
from engine.storage import atomic_write, make_folder, picture_name, sweep_temporary
from engine.tasks.job import Job


def save_pictures(job: Job) -> tuple[Picture, ...]:
    """Write the pictures of a job, and its latents [N, 16, h, w] float32 where wanted.

    All files or none: everything is encoded before the first is written, and where one fails those
    before it are removed again.
    """
    output = job.order.output
    recipes = [_recipe(job, index) for index in range(len(job.pictures))]
    names = output.file_names(len(recipes)) or [picture_name(datetime.now()) for _ in recipes]
    paths = [output.folder.absolute() / name for name in names]
    files = {
        path: _encoded(job, picture, recipe)
        for path, picture, recipe in zip(paths, job.pictures, recipes, strict=True)
    }
    if output.latents is not None:
        files[output.latents] = save({"latents": torch.cat(job.latents)})
    job.check()
    make_folder(output.folder)
    sweep_temporary(output.folder)
    _write_all(files.items())
    width, height = job.size
    return tuple(
        Picture(path=path, recipe=recipe, width=width, height=height)
        for path, recipe in zip(paths, recipes, strict=True)
    )


def _encoded(job: Job, picture: Tensor, recipe: dict[str, object]) -> bytes:
    """Return a picture [H, W, 3] uint8 as a file; of many, each is time enough for a cancel."""
    job.check()
    return encode_png(picture, write_text(recipe))


def _write_all(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file; where one fails, those before it are removed again."""
    with ExitStack() as undo:
        for path, data in files:
            atomic_write(path, data)
            undo.callback(path.unlink, missing_ok=True)
        undo.pop_all()


def _recipe(job: Job, index: int) -> dict[str, object]:
    own = job.request.with_values(seed=(job.request.seed or 0) + index, count=1)
    return make_recipe(
        own,
        model_hash=job.checkpoint.digest,
        precision=job.place.precision,
        plan=job.describe(index),
        warnings=job.warnings,
    )
