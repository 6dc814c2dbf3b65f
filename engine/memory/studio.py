"""What stays in the painting process between jobs: one model, and the prompts it has read."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.header import FLOATS, read_header
from engine.checkpoints.load import load_tokenizer, load_transformer, load_vae
from engine.checkpoints.tensors import open_tensors
from engine.images.preview import PROJECTION_SHAPE, Preview, projection_of
from engine.memory.accelerate import Options, accelerate
from engine.memory.landing import FileLanding, Landing
from engine.memory.malloc import give_back
from engine.memory.model import Model as Model
from engine.memory.place import DTYPES as DTYPES
from engine.memory.place import Place as Place
from engine.memory.plan import Plan
from engine.memory.residence import TRANSFORMER, VAE, Residence
from engine.memory.tensor_cache import PROMPTS, REFERENCES, TensorCache
from engine.memory.tune import BLOCK, FORMS, known_tuning
from engine.model.vae import Vae
from engine.settings import Settings

PREVIEW_FILE = "preview.safetensors"
PREVIEW_SEED = 0
PROJECTION = "projection"
TENSORS_BETWEEN = 16
CACHES = "cache"
GB = 10**9
GRAPHS_BYTES = 1 << 29


class Studio:
    """Holds at most one model, and what was read from prompts and pictures."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._kept: dict[Path, TensorCache] = {}

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
        wanted = plan or Plan(device=place.device, precision=place.precision)
        kept = self._model
        same = self.kept_plan(checkpoint, place) is not None
        if kept is not None and same and kept.residence.serves(wanted):
            return _replanned(kept, wanted)
        del kept
        self.forget()
        data_dir = data_dir or Settings().data_dir
        model = _load(checkpoint, Residence(wanted, place, data_dir / CACHES), check)
        with ExitStack() as undo:
            undo.callback(model.close)
            model.fast = _accelerated(model, data_dir)
            undo.pop_all()
        self._model = model
        return model

    def prompts(self, data_dir: Path) -> TensorCache:
        """Return the features of prompts that are kept in a data folder."""
        return self._cache(data_dir / CACHES / PROMPTS)

    def references(self, data_dir: Path) -> TensorCache:
        """Return the latents and features of input pictures that are kept in a data folder."""
        return self._cache(data_dir / CACHES / REFERENCES)

    def kept_plan(self, checkpoint: Checkpoint, place: Place) -> Plan | None:
        """Return how the model lies, if it is the one that is loaded."""
        kept = self._model
        same = kept is not None and (kept.checkpoint, kept.place) == (checkpoint, place)
        return kept.plan if kept is not None and same else None

    def forget(self) -> None:
        """Let go of the model."""
        if self._model is not None:
            self._model.close()
        self._model = None
        self.tidy()

    def _cache(self, folder: Path) -> TensorCache:
        if folder not in self._kept:
            self._kept[folder] = TensorCache(folder)
        return self._kept[folder]

    def tidy(self) -> None:
        """Give back what nobody uses; the model stays."""
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


def _replanned(kept: Model, plan: Plan) -> Model:
    """Return a model that lies as planned already."""
    kept.plan = plan
    if not plan.keep_encoder and kept.text_encoder is not None:
        kept.drop_encoder()
    return kept


def _load(checkpoint: Checkpoint, residence: Residence, check: Callable[[], None]) -> Model:
    """Load what every job needs; the text encoder waits until a prompt is to be read."""
    place, parts, check = residence.place, checkpoint.parts, _tidily(check)
    device = torch.device(place.device)
    tokenizer = load_tokenizer(checkpoint)
    with ExitStack() as undo:
        undo.callback(residence.close)
        with residence.landing(TRANSFORMER, parts.transformer) as rest:
            transformer = load_transformer(
                checkpoint, place.dtype, device, check, form=place.form, rest=rest
            )
        residence.join(transformer, rest)
        with residence.landing(VAE, parts.vae) as vae_rest:
            vae = load_vae(checkpoint, place.dtype, device, check, rest=vae_rest)
        residence.join(vae, vae_rest)
        check()
        preview = _preview(checkpoint.path / PREVIEW_FILE, vae, place)
        undo.pop_all()
    return Model(
        checkpoint=checkpoint,
        place=place,
        plan=residence.plan,
        residence=residence,
        transformer=transformer,
        vae=vae,
        tokenizer=tokenizer,
        preview=preview,
        notices=_notices(residence.folder, (rest, vae_rest)),
    )


def _accelerated(model: Model, data_dir: Path) -> tuple[str, ...]:
    """Give the transformer its fastest forms, as found on this machine, and name them.

    CUDA graphs take memory of their own, so only what the plan leaves free is theirs.
    """
    device, plan = model.place.device, model.plan
    won = known_tuning(device, data_dir).winner(BLOCK)
    has_room = plan.budget_bytes - plan.peak_bytes >= GRAPHS_BYTES
    chosen = FORMS.get(won, Options()) if won is not None else Options()
    return accelerate(
        model.transformer,
        torch.device(device),
        model.place.dtype,
        is_base=model.checkpoint.variant.defaults.guidance_scale > 0,
        options=replace(chosen, graphs=chosen.graphs and has_room, attention=model.place.attention),
    )


def _notices(folder: Path, landings: Sequence[Landing]) -> tuple[str, ...]:
    """Say where weights come from the disk, and whether they were put there just now."""
    if not any(isinstance(landing, FileLanding) for landing in landings):
        return ()
    said = "Weights are read from the disk while painting"
    written = sum(landing.written for landing in landings)
    if not written:
        return (f"{said}; an earlier start has prepared them.",)
    return (f"{said}; {written / GB:.1f} GB were prepared for that, once, in {folder}.",)


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
