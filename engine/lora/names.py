"""Names of tensors in adapter files: whose module each belongs to, and what it is there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_LOW_RANK: Final = re.compile(
    r"\.lora[._](?:(?P<down>A|down)|(?P<up>B|up))(?:(?:\.[^.]+)?\.weight)?$"
)
_MAGNITUDE: Final = re.compile(r"\.lora_magnitude_vector(?:\.[^.]+)?(?:\.weight)?$")
_OTHER: Final = re.compile(
    r"\.(?P<role>alpha|dora_scale|diff|diff_b|lokr_w[12](?:_[ab])?|lokr_t2|hada_w[12]_[ab]|hada_t[12])$"
)
_NORMS: Final = {".w_norm": "diff", ".b_norm": "diff_b"}

_WRAPPERS: Final = (
    "base_model.model.", "transformer.", "model.diffusion_model.", "diffusion_model.", "unet.",
)  # fmt: skip
_JOINED: Final = ("lora_unet_", "lycoris_", "lora_transformer_")

_TEXT_ENCODER: Final = re.compile(
    r"(?:base_model\.model\.)?"
    r"(?:text_encoders?(?:_\d)?[._]|lora_te\d?_|lycoris_te\d?_|te\d?\.|text_model\.|"
    r"cond_stage_model\.|conditioner\.)"
)

_DIALECTS: Final = tuple(
    (label, re.compile(pattern))
    for label, pattern in (
        ("PEFT", r"^base_model\.model\."),
        ("kohya, double underscore", r"^lora_unet__"),
        ("LyCORIS", r"^lycoris_|^lora_transformer_"),
        ("kohya, dotted", r"\.lora\.(?:down|up)\.weight$"),
        ("kohya", r"^lora_unet_"),
        ("DiffSynth", r"\.lora_[AB]\.default\.weight$"),
        ("ComfyUI", r"diffusion_model\..*(?:\.qkv\.|\.diff$|\.diff_b$|\.lora_(?:up|down)\.)"),
        ("ai-toolkit", r"^(?:model\.)?diffusion_model\."),
        ("OneTrainer", r"^transformer\..*\.(?:lora_(?:up|down)\.weight|alpha|dora_scale)$"),
        ("diffusers", r"^transformer\."),
    )
)


@dataclass(frozen=True, slots=True)
class Key:
    """One tensor of an adapter: its module, with and without wrappers in front, and its role."""

    stem: str
    module: str
    role: str
    text_encoder: bool


def parse(name: str) -> Key | None:
    """Take the name of a tensor apart; None if it is no part of an adapter."""
    stem, role = _split(name)
    if role is None:
        return None
    text_encoder = _TEXT_ENCODER.match(stem) is not None
    return Key(stem, module_of(stem), role, text_encoder)


def module_of(stem: str) -> str:
    """Return the name of a module without the wrappers that programs put in front."""
    while True:
        wrapper = next((w for w in (*_WRAPPERS, *_JOINED) if stem.startswith(w)), None)
        if wrapper is None:
            return stem.lstrip("_")
        stem = stem.removeprefix(wrapper)


def canonical(module: str) -> str:
    """Return the one spelling under which a module is looked up: dots become underscores."""
    return module.replace(".", "_")


def dialect_of(names: Iterable[str]) -> str:
    """Return whose habit of naming a file follows."""
    every = tuple(names)
    for label, pattern in _DIALECTS:
        if any(pattern.search(name) for name in every):
            return label
    return "bare names"


def _split(name: str) -> tuple[str, str | None]:
    found = _LOW_RANK.search(name)
    if found is not None:
        return name[: found.start()], "down" if found["down"] else "up"
    found = _MAGNITUDE.search(name)
    if found is not None:
        return name[: found.start()], "dora_scale"
    found = _OTHER.search(name)
    if found is not None:
        return name[: found.start()], found["role"]
    stem, dot, ending = name.rpartition(".")
    return stem, _NORMS.get(dot + ending)
