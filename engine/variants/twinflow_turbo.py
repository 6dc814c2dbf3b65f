"""twinflow-turbo: Turbo distilled further by self-adversarial flows (arXiv 2512.05150)."""

from __future__ import annotations

from typing import Final

from engine.variants.base import EXAMPLES, PIXELS, SIDES, SIZES
from engine.variants.files import (
    QUANTO,
    TRANSFORMER_INT8_BYTES,
    TURBO_SCHEDULER,
    full,
    small,
    transformer,
)
from engine.variants.spec import Defaults, Ignored, Limits, Solver, Variant
from engine.variants.turbo import FEW_STEPS, WITHOUT_GUIDANCE

TWINFLOW_TURBO: Final = Variant(
    name="twinflow-turbo",
    title="TwinFlow-Z-Image-Turbo",
    summary="Turbo distilled further: two to eight steps, no guidance, a sampler of its own.",
    licence="Apache-2.0",
    folder=None,
    defaults=Defaults(steps=4, guidance_scale=0.0, shift=3.0, width=1024, height=1024),
    limits=Limits(steps=(2, 8), guidance_scale=(0.0, 0.0), sides=SIDES, pixels=PIXELS),
    ignores=(
        *WITHOUT_GUIDANCE,
        FEW_STEPS,
        Ignored(
            control="shift",
            reason="TwinFlow was trained on fixed times, which follow from the number of steps.",
        ),
        Ignored(
            control="sampler",
            reason="TwinFlow paints with the sampler that it was trained for and no other.",
        ),
    ),
    sizes=SIZES,
    examples=EXAMPLES,
    solver=Solver.TWINFLOW,
    downloads=(
        full(
            transformer(
                QUANTO,
                "TwinFlow-Z-Image-Turbo_bf16.safetensors",
                12_310_930_132,
                "9fd4148e3197566ef7eb30575eadd66323859a4d446abb5ba36d9ca2886bfa3b",
            ),
            TURBO_SCHEDULER,
        ),
        small(
            transformer(
                QUANTO,
                "TwinFlow-Z-Image-Turbo_quanto_bf16_int8.safetensors",
                TRANSFORMER_INT8_BYTES,
                "2018f4969d3fe0892a6ee2e94b5453bffc270018fb1ff5ac6fdbb52a0498e901",
            ),
            TURBO_SCHEDULER,
        ),
    ),
)
