"""demo-base: the Demo model that listens to guidance and negative prompts."""

from __future__ import annotations

from typing import Final

from engine.variants.demo import EXAMPLES, LICENCE, PIXELS, SIDES, SIZES, VOCABULARY_FILE, WEIGHTS
from engine.variants.spec import Defaults, Limits, Variant

DEMO_BASE: Final = Variant(
    name="demo-base",
    title="Demo Base",
    summary="Tiny model that comes with the program: small pictures of shapes and landscapes, "
    "with guidance and negative prompts.",
    licence=LICENCE,
    folder=WEIGHTS / "demo-base",
    defaults=Defaults(steps=20, guidance_scale=4.0, shift=3.0, width=128, height=128),
    limits=Limits(steps=(12, 40), guidance_scale=(2.0, 6.0), sides=SIDES, pixels=PIXELS),
    ignores=(),
    sizes=SIZES,
    examples=EXAMPLES,
    vocabulary_file=VOCABULARY_FILE,
)
