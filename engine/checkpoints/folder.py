"""Opens a model folder in the diffusers layout: which networks it holds, before weights are read.

Nothing in the folder is ever imported or run; only JSON and safetensors files are looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.checkpoints.configs import (
    Declared,
    Shapes,
    text_encoder_config,
    transformer_config,
    vae_config,
)
from engine.checkpoints.files import label, opened, read_object
from engine.checkpoints.formats import find_weights
from engine.checkpoints.formats.door import Stored
from engine.checkpoints.header import MAX_TENSORS, Header, read_header, stamp_of
from engine.checkpoints.keys import (
    TRANSFORMER_DIALECTS,
    VAE_DIALECTS,
    Dialect,
    spoken,
    text_encoder_dialect,
)
from engine.checkpoints.recognise import Role, recognise
from engine.errors import FileRejected, NotFound
from engine.model.config import TransformerConfig, VaeConfig
from engine.variants import VARIANTS, Variant, by_name

PIPELINE_FILE: Final = "model_index.json"
SCHEDULER_FILE: Final = "scheduler/scheduler_config.json"
TOKENIZER_FILE: Final = "tokenizer/tokenizer.json"
TRANSFORMER_FILE: Final = "transformer/config.json"
NEEDED_FILES: Final = (
    TRANSFORMER_FILE, "text_encoder/config.json", "vae/config.json", SCHEDULER_FILE, TOKENIZER_FILE
)  # fmt: skip
TRANSFORMER_CLASS: Final = "ZImageTransformer2DModel"
WEIGHTS_STEMS: Final = ("diffusion_pytorch_model", "model")
VARIANT_KEY: Final = "variant"
"""Where a transformer file's metadata names its variant, as ours do."""

UNDISTILLED_SHIFT: Final = 5.0
"""Schedules shifted at least this far belong to the base model; the shapes are those of Turbo."""

_MAX_INDEX_BYTES: Final = 8_000_000
_MAX_INDEX_VALUES: Final = MAX_TENSORS + 100
_ENDING: Final = re.compile(r"\.safetensors(\.index\.json)?$")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,200}\.safetensors")
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """The files of one network, and its weights by their names in them.

    digest: names the weights, by headers and samples.
    """

    headers: tuple[Header, ...]
    digest: str
    weights: Mapping[str, Stored] = field(compare=False)

    @property
    def shapes(self) -> Shapes:
        """Shape of every weight, by its name in the files."""
        return {name: weight.shape for name, weight in self.weights.items()}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(header.size for header in self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The files of all three networks."""

    transformer: Part
    vae: Part
    text_encoder: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model folder whose headers and configurations were read and agree.

    text_encoder: checked fields for `TextEncoder`. size: bytes of all weights. digest: names the
    model in recipes, by headers, configurations and weight samples. tokenizer_stamp: changes
    with the tokenizer's file.
    """

    path: Path
    transformer: TransformerConfig
    vae: VaeConfig
    text_encoder: dict[str, Any]
    tokenizer: Path
    tokenizer_stamp: tuple[int, int, int]
    shift: float
    variant: Variant
    size: int
    digest: str
    parts: Parts


def open_folder(path: Path) -> Checkpoint:
    """Look at a model folder; raise `NotFound` naming what is missing, or `FileRejected`."""
    _check_layout(path)
    parts = Parts(
        transformer=_part(path / "transformer", Role.TRANSFORMER),
        vae=_part(path / "vae", Role.VAE),
        text_encoder=_part(path / "text_encoder", Role.TEXT_ENCODER),
    )
    transformer = transformer_config(
        _shapes(parts.transformer, TRANSFORMER_DIALECTS), _declared(path / "transformer")
    )
    vae = vae_config(_shapes(parts.vae, VAE_DIALECTS), _declared(path / "vae"))
    text_encoder = _text_encoder(path, parts.text_encoder, transformer)
    shift = _shift(path / SCHEDULER_FILE)
    every = (parts.transformer, parts.vae, parts.text_encoder)
    with opened(path / TOKENIZER_FILE) as file:
        tokenizer_stamp = stamp_of(file)
    content = repr((transformer, vae, text_encoder, shift, [part.digest for part in every]))
    return Checkpoint(
        path=path,
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=path / TOKENIZER_FILE,
        tokenizer_stamp=tokenizer_stamp,
        shift=shift,
        variant=_variant(parts.transformer, shift),
        size=sum(part.size for part in every),
        digest=hashlib.sha256(content.encode()).hexdigest(),
        parts=parts,
    )


def _check_layout(path: Path) -> None:
    """Demand every file that a model folder has, and that it is of this family."""
    try:
        is_folder = path.is_dir()
        missing = [name for name in NEEDED_FILES if not (path / name).is_file()]
    except (OSError, ValueError) as error:
        raise NotFound(f"The model folder {label(path)} cannot be read: {error}.") from None
    if not is_folder:
        what = "is a file, not a model folder" if path.exists() else "does not exist"
        raise NotFound(f"{label(path)} {what}.", "Give the folder that holds model_index.json.")
    if missing:
        raise NotFound(
            f"The model folder {label(path)} lacks {', '.join(missing)}.",
            "Copy or download the whole folder again.",
        )
    for name, expected in ((PIPELINE_FILE, "ZImage"), (TRANSFORMER_FILE, TRANSFORMER_CLASS)):
        _check_class(path / name, expected)


def _check_class(path: Path, expected: str) -> None:
    if not path.is_file():
        return
    found = read_object(path).get("_class_name", expected)
    if not isinstance(found, str) or not found.startswith(expected):
        raise FileRejected(
            f"{label(path)} says that this is {found!r:.80}, not a Z-Image model.",
            "Choose a model of the Z-Image family.",
        )


def _part(folder: Path, role: Role) -> Part:
    """Read the headers of one network's files."""
    headers = tuple(read_header(path) for path in _weight_files(folder))
    names = [name for header in headers for name in header.tensors]
    if len(names) > len(set(names)):
        raise FileRejected(f"Files in {label(folder)} hold the same tensor twice.")
    kind = recognise(names)
    if kind.role is not role:
        raise FileRejected(
            f"{label(folder)} holds {kind.what}, not the {role} of Z-Image.",
            "Choose a model of the Z-Image family.",
        )
    digest = hashlib.sha256()
    for header in headers:
        digest.update(header.digest.encode())
        digest.update(_sample(header))
    return Part(headers, digest.hexdigest(), find_weights(headers))


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a network's weights, as the reference library picks them."""
    try:
        names = {entry.name for entry in folder.iterdir() if _ENDING.search(entry.name)}
    except OSError as error:
        raise NotFound(f"{label(folder)} cannot be read: {error.strerror}.") from error
    for stem in WEIGHTS_STEMS:
        if f"{stem}.safetensors.index.json" in names:
            return _indexed_files(folder / f"{stem}.safetensors.index.json")
        if f"{stem}.safetensors" in names:
            return [folder / f"{stem}.safetensors"]
    if len(names) != 1:
        raise NotFound(
            f"{label(folder)} holds {len(names)} safetensors files, none of them named "
            f"{' or '.join(WEIGHTS_STEMS)}.",
            "Copy or download the whole folder again.",
        )
    return [folder / names.pop()]


def _indexed_files(index: Path) -> list[Path]:
    """Return the files that an index names; each must lie beside it."""
    table = read_object(index, _MAX_INDEX_BYTES, _MAX_INDEX_VALUES).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise FileRejected(f"{label(index)} has no weight_map.", "Download it again.")
    for name in table.values():
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise FileRejected(f"{label(index)} names the file {name!r:.80}.")
    files = [index.parent / name for name in sorted(set(table.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise NotFound(
            f"{label(index.parent)} lacks {len(missing)} of {len(files)} files: "
            f"{', '.join(missing[:3])}.",
            "Download them again.",
        )
    return files


def _sample(header: Header) -> bytes:
    """Read a few pieces spread over a file: enough to tell apart weights of the same shapes."""
    first = min((tensor.start for tensor in header.tensors.values()), default=header.size)
    step = max(1, (header.size - first) // _SAMPLES)
    pieces = []
    with opened(header.path) as file:
        for start in range(first, header.size, step):
            file.seek(start)
            pieces.append(file.read(min(_SAMPLE_BYTES, step)))
    return b"".join(pieces)


def _shapes(part: Part, dialects: tuple[Dialect, ...]) -> Shapes:
    shapes: Mapping[str, tuple[int, ...]] = part.shapes
    _, prefix = spoken(shapes, dialects)
    return {name.removeprefix(prefix): shape for name, shape in shapes.items()}


def _declared(folder: Path) -> Declared:
    path = folder / "config.json"
    return Declared(read_object(path), label(path))


def _text_encoder(path: Path, part: Part, transformer: TransformerConfig) -> dict[str, Any]:
    """Read the text encoder's architecture; its features must fit the transformer."""
    declared = _declared(path / "text_encoder")
    config = text_encoder_config(_shapes(part, (text_encoder_dialect(1),)), declared)
    width = config["hidden_size"]
    if width != transformer.cap_feat_dim:
        raise FileRejected(
            f"{declared.where}: the text encoder is {width} wide, but the transformer expects "
            f"{transformer.cap_feat_dim}.",
            "Use the text encoder that belongs to this model.",
        )
    return config


def _shift(path: Path) -> float:
    declared = Declared(read_object(path), label(path))
    declared.must_be(use_dynamic_shifting=False, num_train_timesteps=1000)
    return declared.number("shift", 1.0, 0.01, 100.0)


def _variant(transformer: Part, shift: float) -> Variant:
    """Return the variant that the weights name, else the one that the schedule suggests."""
    named = transformer.headers[0].metadata.get(VARIANT_KEY)
    if named in {variant.name for variant in VARIANTS}:
        return by_name(str(named))
    return by_name("base" if shift >= UNDISTILLED_SHIFT else "turbo")
