"""What stays in the painting process between jobs: one model, and the prompts it has read."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.header import FLOATS, read_header
from engine.checkpoints.load import load_tokenizer, load_transformer, load_vae
from engine.checkpoints.tensors import open_tensors
from engine.images.preview import PROJECTION_SHAPE, Preview, projection_of
from engine.memory.malloc import give_back
from engine.memory.model import Model as Model
from engine.memory.place import DTYPES as DTYPES
from engine.memory.place import Place as Place
from engine.memory.plan import Plan
from engine.memory.tensor_cache import PROMPTS, TensorCache
from engine.model.vae import Vae

PREVIEW_FILE = "preview.safetensors"
PREVIEW_SEED = 0
PROJECTION = "projection"
TENSORS_BETWEEN = 16
CACHES = "cache"


class Studio:
    """Holds at most one model, and what was read from prompts."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._prompts: dict[Path, TensorCache] = {}

    def model(
        self,
        checkpoint: Checkpoint,
        place: Place,
        check: Callable[[], None],
        plan: Plan | None = None,
        data_dir: Path | None = None,
    ) -> Model:
        """Return a model that lies as planned, loaded if it is not there.

        `check` may raise between tensors. No plan: everything is on the device. data_dir: where
        slabs are kept that the plan streams from a file. Files that changed make another model, as
        another place or other residents do. The one before is let go first, so that two never share
        the memory.
        """
        kept = self._model
        if kept is not None and (kept.checkpoint, kept.place) == (checkpoint, place):
            return kept
        del kept
        self.forget()
        self._model = _load(checkpoint, place, check, plan)
        return self._model

    def prompts(self, data_dir: Path) -> TensorCache:
        """Return the features of prompts that are kept in a data folder."""
        if data_dir not in self._prompts:
            self._prompts[data_dir] = TensorCache(data_dir / CACHES / PROMPTS)
        return self._prompts[data_dir]

    def forget(self) -> None:
        """Let go of the model."""
        if self._model is not None:
            self._model.close()
        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _tidily(check: Callable[[], None]) -> Callable[[], None]:
    """Return a `check` that also gives freed memory back now and then."""
    calls = count(1)

    def tidy() -> None:
        check()
        if next(calls) % TENSORS_BETWEEN == 0:
            give_back()

    return tidy


def _load(
    checkpoint: Checkpoint, place: Place, check: Callable[[], None], plan: Plan | None
) -> Model:
    device = torch.device(place.device)
    check = _tidily(check)
    tokenizer = load_tokenizer(checkpoint)
    transformer = load_transformer(checkpoint, place.dtype, device, check, form=place.form)
    vae = load_vae(checkpoint, place.dtype, device, check)
    check()
    return Model(
        checkpoint=checkpoint,
        place=place,
        plan=plan,
        transformer=transformer,
        vae=vae,
        tokenizer=tokenizer,
        preview=_preview(checkpoint.path / PREVIEW_FILE, vae, place),
    )


def _preview(stored: Path, vae: Vae, place: Place) -> Preview:
    """Return the model's preview: stored beside it, else fitted to its autoencoder.

    A file of that name that holds something else is left alone; a damaged one is refused.
    """
    if stored.is_file():
        header = read_header(stored)
        entry = header.tensors.get(PROJECTION)
        if entry is not None and entry.shape == PROJECTION_SHAPE and entry.dtype in FLOATS:
            with open_tensors([header]) as source:
                return Preview(source.read(PROJECTION))

    @torch.inference_mode()
    def decode(latents: Tensor) -> Tensor:
        return vae.decode(latents.to(place.device, place.dtype))

    return Preview(projection_of(decode, PREVIEW_SEED))
