"""base: Z-Image, the undistilled 6 B model (arXiv 2511.22699)."""

from __future__ import annotations

from typing import Final

from engine.variants.files import (
    BASE_SCHEDULER,
    QUANTO,
    SPLIT_BASE,
    TRANSFORMER_BYTES,
    TRANSFORMER_INT8_BYTES,
    full,
    small,
    transformer,
)
from engine.variants.spec import Defaults, Limits, Size, Variant

SIZES: Final = (
    Size(label="Square 1:1", width=1024, height=1024),
    Size(label="Landscape 4:3", width=1152, height=864),
    Size(label="Portrait 3:4", width=864, height=1152),
    Size(label="Landscape 3:2", width=1248, height=832),
    Size(label="Portrait 2:3", width=832, height=1248),
    Size(label="Wide 16:9", width=1280, height=720),
    Size(label="Tall 9:16", width=720, height=1280),
)

EXAMPLES: Final = (
    "A lighthouse on a rocky coast at dawn, waves breaking below, soft pink light, photograph",
    "Portrait of an old fisherman in a yellow raincoat, rain drops on his face, shallow focus",
    'A bakery window with a hand-painted sign that reads "Fresh Bread", evening light',
    "An isometric drawing of a tiny greenhouse full of ferns, muted colours, clean lines",
)

SIDES: Final = (512, 2048)
PIXELS: Final = (512 * 512, 2048 * 2048)

BASE: Final = Variant(
    name="base",
    title="Z-Image",
    summary="The full 6 B model: guidance, negative prompts, 28 to 50 steps.",
    licence="Apache-2.0",
    folder=None,
    defaults=Defaults(
        steps=30,
        guidance_scale=4.0,
        shift=6.0,
        width=1024,
        height=1024,
        negative="blurry, low quality, distorted anatomy, watermark, jpeg artefacts",
    ),
    limits=Limits(steps=(28, 50), guidance_scale=(3.0, 5.0), sides=SIDES, pixels=PIXELS),
    ignores=(),
    sizes=SIZES,
    examples=EXAMPLES,
    downloads=(
        full(
            transformer(
                SPLIT_BASE,
                "split_files/diffusion_models/z_image_bf16.safetensors",
                TRANSFORMER_BYTES,
                "996a67d3ff666946b1c25cbc16d1b1918b6cc0ac166309e23fe3b3d830263dee",
            ),
            BASE_SCHEDULER,
        ),
        small(
            transformer(
                QUANTO, "ZImageBase_quanto_bf16_int8.safetensors", TRANSFORMER_INT8_BYTES, None
            ),
            BASE_SCHEDULER,
        ),
    ),
)
