"""demo-turbo: the Demo model that paints in eight steps without guidance."""

from __future__ import annotations

from typing import Final

from engine.variants.demo import EXAMPLES, LICENCE, PIXELS, SIDES, SIZES, VOCABULARY_FILE, WEIGHTS
from engine.variants.spec import Defaults, Limits, Variant
from engine.variants.turbo import FEW_STEPS, WITHOUT_GUIDANCE

DEMO_TURBO: Final = Variant(
    name="demo-turbo",
    title="Demo Turbo",
    summary="Tiny model that comes with the program: small pictures of shapes and landscapes "
    "in eight steps.",
    licence=LICENCE,
    folder=WEIGHTS / "demo-turbo",
    defaults=Defaults(steps=8, guidance_scale=0.0, shift=3.0, width=128, height=128),
    limits=Limits(steps=(4, 12), guidance_scale=(0.0, 0.0), sides=SIDES, pixels=PIXELS),
    ignores=(*WITHOUT_GUIDANCE, FEW_STEPS),
    sizes=SIZES,
    examples=EXAMPLES,
    vocabulary_file=VOCABULARY_FILE,
)
