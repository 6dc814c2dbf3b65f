"""omni-base: Z-Image-Omni-Base, before fine-tuning; paints and edits (arXiv 2511.22699)."""

from __future__ import annotations

from typing import Final

from engine.variants.base import BASE, EXAMPLES, PIXELS, SIDES, SIZES
from engine.variants.spec import Defaults, Limits, Variant

OMNI_BASE: Final = Variant(
    name="omni-base",
    title="Z-Image-Omni-Base",
    summary="The 6 B model before fine-tuning, for painting and for editing with pictures.",
    licence="Apache-2.0",
    folder=None,
    defaults=Defaults(
        steps=50,
        guidance_scale=5.0,
        shift=6.0,
        width=1024,
        height=1024,
        negative=BASE.defaults.negative,
    ),
    limits=Limits(steps=(28, 50), guidance_scale=(3.0, 6.0), sides=SIDES, pixels=PIXELS),
    ignores=(),
    sizes=SIZES,
    examples=EXAMPLES,
    edits=True,
    unavailable="The weights of Z-Image-Omni-Base have not been published: nothing can be fetched. "
    "Give the path of a file of your own.",
)
