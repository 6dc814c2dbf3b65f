"""edit: Z-Image-Edit, fine-tuned to change pictures by instruction (arXiv 2511.22699)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.variants.omni_base import OMNI_BASE
from engine.variants.spec import Variant

EDIT: Final[Variant] = replace(
    OMNI_BASE,
    name="edit",
    title="Z-Image-Edit",
    summary="The 6 B model fine-tuned to change pictures by instruction.",
    unavailable="The weights of Z-Image-Edit have not been published: nothing can be fetched. "
    "Give the path of a file of your own.",
)
