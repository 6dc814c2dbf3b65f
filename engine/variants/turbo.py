"""turbo: Z-Image-Turbo, distilled to eight steps without guidance (arXiv 2511.22699)."""

from __future__ import annotations

from typing import Final

from engine.variants.base import EXAMPLES, PIXELS, SIDES, SIZES
from engine.variants.files import (
    QUANTO,
    SPLIT_TURBO,
    TRANSFORMER_BYTES,
    TRANSFORMER_INT8_BYTES,
    TURBO_SCHEDULER,
    full,
    small,
    transformer,
)
from engine.variants.spec import Defaults, Ignored, Limits, Variant

WITHOUT_GUIDANCE: Final = (
    Ignored(
        control="negative",
        reason="A Turbo model paints at guidance 0, where a negative prompt has no effect.",
    ),
    Ignored(
        control="cfg_normalization",
        reason="A Turbo model paints at guidance 0, so there is nothing to normalise.",
    ),
    Ignored(
        control="cfg_truncation",
        reason="A Turbo model paints at guidance 0, so there is nothing to cut off.",
    ),
)
"""Controls without effect while guidance is 0."""

FEW_STEPS: Final = Ignored(
    control="step_cache",
    reason="A model of few steps changes so much in each that none can reuse an earlier one.",
)

TURBO: Final = Variant(
    name="turbo",
    title="Z-Image-Turbo",
    summary="The distilled 6 B model: eight steps, no guidance.",
    licence="Apache-2.0",
    folder=None,
    defaults=Defaults(steps=8, guidance_scale=0.0, shift=3.0, width=1024, height=1024),
    limits=Limits(steps=(4, 12), guidance_scale=(0.0, 0.0), sides=SIDES, pixels=PIXELS),
    ignores=(*WITHOUT_GUIDANCE, FEW_STEPS),
    sizes=SIZES,
    examples=EXAMPLES,
    downloads=(
        full(
            transformer(
                SPLIT_TURBO,
                "split_files/diffusion_models/z_image_turbo_bf16.safetensors",
                TRANSFORMER_BYTES,
                "2407613050b809ffdff18a4ac99af83ea6b95443ecebdf80e064a79c825574a6",
            ),
            TURBO_SCHEDULER,
        ),
        small(
            transformer(
                QUANTO, "ZImageTurbo_quanto_bf16_int8.safetensors", TRANSFORMER_INT8_BYTES, None
            ),
            TURBO_SCHEDULER,
        ),
    ),
)
