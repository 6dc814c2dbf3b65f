"""What an opened model is: its three networks' files, numbers, tokenizer and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoints.configs import Shapes
from engine.checkpoints.formats.door import Stored
from engine.checkpoints.header import Header
from engine.model.config import TransformerConfig, VaeConfig, VisionConfig
from engine.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One network in the files that hold it, perhaps beside others.

    weights: those of this network alone, by their full names in the files. dialect and prefix: how
    they are named. digest: names the weights, by headers and samples. size: bytes of the weights.
    """

    headers: tuple[Header, ...]
    digest: str
    dialect: str
    prefix: str
    size: int
    weights: Mapping[str, Stored] = field(compare=False)

    @property
    def shapes(self) -> Shapes:
        """Shape of every weight, by its name in the files."""
        return {name: weight.shape for name, weight in self.weights.items()}

    @property
    def stores_int8(self) -> bool:
        """Say whether some of it is int8 already, by row."""
        return any(weight.keeps_int8 for weight in self.weights.values())

    @property
    def bare_shapes(self) -> Shapes:
        """Shape of every weight, by its name without the prefix."""
        return {name.removeprefix(self.prefix): shape for name, shape in self.shapes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The files of all networks; vision: None where the transformer reads no pictures."""

    transformer: Part
    vae: Part
    text_encoder: Part
    vision: Part | None = None

    @property
    def every(self) -> tuple[Part, ...]:
        """All that there are, in one order."""
        three = self.transformer, self.vae, self.text_encoder
        return three if self.vision is None else (*three, self.vision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model whose headers and configurations were read and agree.

    path: the file or folder that was asked for. text_encoder: checked fields for `TextEncoder`.
    vision: None where the transformer reads no pictures.
    variant_known: whether something said which variant this is; Turbo is assumed where nothing did.
    size: bytes of all files. digest: names the model in recipes, by headers, configurations and
    weight samples. tokenizer_stamp: changes with the tokenizer's file.
    """

    path: Path
    transformer: TransformerConfig
    vae: VaeConfig
    text_encoder: dict[str, Any]
    vision: VisionConfig | None = None
    tokenizer: Path
    tokenizer_stamp: tuple[int, int, int]
    shift: float
    variant: Variant
    variant_known: bool = True
    size: int
    digest: str
    parts: Parts
