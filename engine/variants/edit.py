"""edit: Z-Image-Edit, fine-tuned to change pictures by instruction (arXiv 2511.22699)."""

from __future__ import annotations

from typing import Final

from engine.variants.base import BASE, EXAMPLES, PIXELS, SIDES, SIZES
from engine.variants.spec import Defaults, Limits, Variant

EDIT: Final = Variant(
    name="edit",
    title="Z-Image-Edit",
    summary="The 6 B model fine-tuned to change pictures by instruction.",
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
    unavailable="The weights of Z-Image-Edit have not been published: nothing can be fetched. "
    "Give the path of a file of your own.",
)
