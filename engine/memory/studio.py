"""What stays in the painting process between jobs: one model, and the captions it has read."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.header import FLOATS, read_header
from engine.checkpoints.load import (
    load_text_encoder,
    load_tokenizer,
    load_transformer,
    load_vae,
)
from engine.checkpoints.tensors import open_tensors
from engine.hardware import MIN_BF16_CAPABILITY
from engine.images.preview import PROJECTION_SHAPE, Preview, projection_of
from engine.memory.malloc import give_back
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import Transformer
from engine.model.vae import Vae
from engine.quant.recipe import Form
from engine.request import Precision

KEPT_CAPTIONS = 32
PREVIEW_FILE = "preview.safetensors"
PREVIEW_SEED = 0
PROJECTION = "projection"
TENSORS_BETWEEN = 16

DTYPES: Mapping[Precision, torch.dtype] = MappingProxyType(
    {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }
)


_FORMS: Mapping[Precision, Form] = MappingProxyType(
    {Precision.INT8: Form.INT8, Precision.FP16: Form.HALF}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model lies and in which number type."""

    device: str
    precision: Precision

    @property
    def form(self) -> Form:
        """How the large products of transformer and text encoder compute."""
        return _FORMS.get(self.precision, Form.PLAIN)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of everything else; float16 alone would overflow."""
        if self.precision is Precision.INT8:
            return torch.bfloat16 if _computes_in_bf16(self.device) else torch.float32
        return torch.float32 if self.precision is Precision.FP16 else DTYPES[self.precision]


def _computes_in_bf16(device: str) -> bool:
    """Say whether bfloat16 is the device's own; processors and cards of old only imitate it."""
    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    if not device.startswith("cuda"):
        return True
    return torch.cuda.get_device_capability(torch.device(device))[0] >= MIN_BF16_CAPABILITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A loaded model. captions: refined caption tokens [P, D], least recent first.

    They are kept by prompt, and by the adapters that they were made with.
    """

    checkpoint: Checkpoint
    place: Place
    transformer: Transformer
    text_encoder: TextEncoder
    vae: Vae
    tokenizer: Tokenizer
    preview: Preview
    captions: OrderedDict[tuple[str, str], Tensor] = field(default_factory=OrderedDict)

    def recall(self, prompt: str, adapted: str) -> Tensor | None:
        """Return the caption tokens [P, D] of a prompt read before, if they are still there."""
        caption = self.captions.get((prompt, adapted))
        if caption is not None:
            self.captions.move_to_end((prompt, adapted))
        return caption

    def remember(self, prompt: str, adapted: str, caption: Tensor) -> None:
        """Keep the caption tokens [P, D] of a prompt; the least recent one makes room."""
        self.captions[prompt, adapted] = caption
        if len(self.captions) > KEPT_CAPTIONS:
            self.captions.popitem(last=False)


class Studio:
    """Holds at most one model."""

    def __init__(self) -> None:
        self._model: Model | None = None

    def model(self, checkpoint: Checkpoint, place: Place, check: Callable[[], None]) -> Model:
        """Return a model, loaded if it is not there; `check` may raise between tensors.

        Files that changed make another model, as another place does. The one before is let go
        first, so that two never share the memory.
        """
        kept = self._model
        if kept is not None and (kept.checkpoint, kept.place) == (checkpoint, place):
            return kept
        del kept
        self.forget()
        self._model = _load(checkpoint, place, check)
        return self._model

    def forget(self) -> None:
        """Let go of everything."""
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


def _load(checkpoint: Checkpoint, place: Place, check: Callable[[], None]) -> Model:
    device = torch.device(place.device)
    check = _tidily(check)
    tokenizer = load_tokenizer(checkpoint)
    text_encoder = load_text_encoder(checkpoint, place.dtype, device, check, form=place.form)
    transformer = load_transformer(checkpoint, place.dtype, device, check, form=place.form)
    vae = load_vae(checkpoint, place.dtype, device, check)
    check()
    return Model(
        checkpoint=checkpoint,
        place=place,
        transformer=transformer,
        text_encoder=text_encoder,
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
