"""Opens any model of the family: a diffusers folder, a single file, or a folder of loose parts.

Only headers and configurations are read, and nothing of a stranger's is ever imported or run. A
part that is missing is taken from beside the model, then from models that are installed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.checkpoints import layout
from engine.checkpoints.checkpoint import Checkpoint, Part, Parts
from engine.checkpoints.complete import complete
from engine.checkpoints.configs import (
    Declared,
    text_encoder_config,
    transformer_config,
    vae_config,
    vision_config,
)
from engine.checkpoints.files import label, opened, read_object
from engine.checkpoints.header import stamp_of
from engine.checkpoints.header_cache import HeaderCache
from engine.checkpoints.identity import identify
from engine.checkpoints.look import Found, declared, look
from engine.checkpoints.recognise import Role
from engine.errors import FileRejected
from engine.model.config import TransformerConfig, VaeConfig, VisionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What helps to open a model that does not say everything itself.

    variant: its name, where the user said it. homes: models to take missing parts from, as files
    or folders. data: folder in which answers to "which variant is this?", and headers, are kept.
    """

    variant: str | None = None
    homes: tuple[Path, ...] = ()
    data: Path | None = None


NO_HINTS: Final = Hints()


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The architectures of the networks."""

    transformer: TransformerConfig
    vae: VaeConfig
    text_encoder: dict[str, Any]
    vision: VisionConfig | None


def open_model(path: Path, *, hints: Hints = NO_HINTS) -> Checkpoint:
    """Open a model; raise `NotFound` naming what is missing, or `FileRejected` with the reason."""
    headers = HeaderCache(hints.data)
    checkpoint = open_found(path, look(path, headers.read), hints)
    # A known prompt needs the text encoder's numbers and none of its weights.
    others = {header.path for header in checkpoint.parts.transformer.headers}
    for header in checkpoint.parts.text_encoder.headers:
        if header.path not in others:
            headers.keep(header)
    return checkpoint


def open_found(path: Path, found: Found, hints: Hints) -> Checkpoint:
    """Open a model that was looked at, as `open_model`."""
    if Role.TRANSFORMER not in found.parts:
        others = " and ".join(found.parts) or "nothing"
        raise FileRejected(
            f"{label(path)} holds {others} of Z-Image, but no transformer.",
            "Give the file or folder that holds the transformer.",
        )
    # Before anything is looked for elsewhere, the transformer must be one that we can build.
    main = _transformer(found.parts[Role.TRANSFORMER])
    parts, tokenizer = complete(path, found, hints.homes, HeaderCache(hints.data).read)
    numbers = _Numbers(
        transformer=main,
        vae=vae_config(parts.vae.bare_shapes, declared(Role.VAE, parts.vae)),
        text_encoder=_text_encoder(parts.text_encoder, main),
        vision=_vision(parts.vision, main),
    )
    stated = stated_shift(found)
    identity = identify(parts.transformer, path, stated, hints.variant, hints.data)
    shift = identity.variant.defaults.shift if stated is None else stated
    with opened(tokenizer) as file:
        tokenizer_stamp = stamp_of(file)
    return Checkpoint(
        path=path,
        transformer=numbers.transformer,
        vae=numbers.vae,
        text_encoder=numbers.text_encoder,
        vision=numbers.vision,
        tokenizer=tokenizer,
        tokenizer_stamp=tokenizer_stamp,
        shift=shift,
        variant=identity.variant,
        variant_known=identity.is_known,
        size=_size(parts),
        digest=_digest(parts, numbers, shift),
        parts=parts,
    )


def _transformer(part: Part) -> TransformerConfig:
    return transformer_config(part.bare_shapes, declared(Role.TRANSFORMER, part))


def _text_encoder(part: Part, transformer: TransformerConfig) -> dict[str, Any]:
    """Read the text encoder's architecture; its features must fit the transformer."""
    stated = declared(Role.TEXT_ENCODER, part)
    config = text_encoder_config(part.bare_shapes, stated)
    width = config["hidden_size"]
    if width != transformer.cap_feat_dim:
        raise FileRejected(
            f"{stated.where}: the text encoder is {width} wide, but the transformer expects "
            f"{transformer.cap_feat_dim}.",
            "Use the text encoder that belongs to this model.",
        )
    return config


def _vision(part: Part | None, transformer: TransformerConfig) -> VisionConfig | None:
    """Read the vision encoder's architecture; its features must fit the transformer."""
    if part is None:
        return None
    stated, file = declared(Role.VISION, part), part.headers[0].path
    patches = layout.patches_near(file)
    values = {} if patches is None else read_object(patches)
    cut = Declared(values, label(file if patches is None else patches))
    config = vision_config(part.bare_shapes, stated, cut)
    if config.hidden_size != transformer.siglip_feat_dim:
        raise FileRejected(
            f"{stated.where}: the vision encoder is {config.hidden_size} wide, but the transformer "
            f"expects {transformer.siglip_feat_dim}.",
            "Use the vision encoder that belongs to this model.",
        )
    return config


def stated_shift(found: Found) -> float | None:
    """Return the shift of the schedule that comes with a model; raise `FileRejected`."""
    if found.scheduler is None:
        return None
    stated = Declared(read_object(found.scheduler), label(found.scheduler))
    stated.must_be(use_dynamic_shifting=False, num_train_timesteps=1000)
    return stated.number("shift", 1.0, 0.01, 100.0)


def _size(parts: Parts) -> int:
    """Return the bytes of all files, each counted once."""
    sizes = {header.path: header.size for part in parts.every for header in part.headers}
    return sum(sizes.values())


def _digest(parts: Parts, numbers: _Numbers, shift: float) -> str:
    """Name a model by what it is, wherever it lies."""
    digests = [part.digest for part in parts.every]
    sight = () if numbers.vision is None else (numbers.vision,)
    content = (numbers.transformer, numbers.vae, numbers.text_encoder, shift, digests, *sight)
    return hashlib.sha256(repr(content).encode()).hexdigest()
