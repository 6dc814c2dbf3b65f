"""demo-omni: the Demo model that changes pictures by instruction, and paints as well."""

from __future__ import annotations

from typing import Final

from engine.variants.demo import (
    EDIT_VOCABULARY_FILE,
    EXAMPLES,
    LICENCE,
    PIXELS,
    SIDES,
    SIZES,
    WEIGHTS,
)
from engine.variants.spec import Defaults, Limits, Variant

DEMO_OMNI: Final = Variant(
    name="demo-omni",
    title="Demo Omni",
    summary="Tiny model that comes with the program: changes its small pictures of shapes and "
    "landscapes as you say, and paints them too.",
    licence=LICENCE,
    folder=WEIGHTS / "demo-omni",
    defaults=Defaults(steps=20, guidance_scale=3.0, shift=3.0, width=128, height=128),
    limits=Limits(steps=(12, 40), guidance_scale=(1.0, 5.0), sides=SIDES, pixels=PIXELS),
    ignores=(),
    sizes=SIZES,
    examples=EXAMPLES,
    vocabulary_file=EDIT_VOCABULARY_FILE,
    edits=True,
)
