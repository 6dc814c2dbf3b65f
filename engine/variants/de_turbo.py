"""de-turbo: Turbo trained back to many steps and guidance, a base for adapters."""

from __future__ import annotations

from typing import Final

from engine.variants.base import BASE, EXAMPLES, PIXELS, SIDES, SIZES
from engine.variants.files import TRANSFORMER_BYTES, TURBO_SCHEDULER, full, transformer
from engine.variants.spec import Defaults, Limits, Variant

DE_TURBO: Final = Variant(
    name="de-turbo",
    title="Z-Image-De-Turbo",
    summary="Turbo with its distillation undone: low guidance, 20 to 30 steps.",
    licence="Apache-2.0",
    folder=None,
    defaults=Defaults(
        steps=25,
        guidance_scale=3.0,
        shift=3.0,
        width=1024,
        height=1024,
        negative=BASE.defaults.negative,
    ),
    limits=Limits(steps=(20, 30), guidance_scale=(2.0, 3.0), sides=SIDES, pixels=PIXELS),
    ignores=(),
    sizes=SIZES,
    examples=EXAMPLES,
    downloads=(
        full(
            transformer(
                "ostris/Z-Image-De-Turbo",
                "z_image_de_turbo_v1_bf16.safetensors",
                TRANSFORMER_BYTES,
                None,
            ),
            TURBO_SCHEDULER,
        ),
    ),
)
