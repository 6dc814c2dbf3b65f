"""The former names of what `checkpoint`, `layout` and `open` hold."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoints.checkpoint import Checkpoint, Part, Parts
from engine.checkpoints.identity import VARIANT_KEY
from engine.checkpoints.layout import (
    PIPELINE_FILE,
    SCHEDULER_FILE,
    TRANSFORMER_CLASS,
)
from engine.checkpoints.open import open_model

__all__ = [
    "PIPELINE_FILE",
    "SCHEDULER_FILE",
    "TRANSFORMER_CLASS",
    "VARIANT_KEY",
    "Checkpoint",
    "Part",
    "Parts",
    "open_folder",
]


def open_folder(path: Path) -> Checkpoint:
    """Open a model folder."""
    return open_model(path)
