"""What the variants of the Demo family share: their folder, sizes, words and examples."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.variants.spec import Size

WEIGHTS: Final = Path(__file__).parent.parent / "demo" / "weights"
VOCABULARY_FILE: Final = WEIGHTS / "vocabulary.txt"
EDIT_VOCABULARY_FILE: Final = WEIGHTS / "vocabulary-edits.txt"
LICENCE: Final = "Apache-2.0"
SIDES: Final = (96, 160)
PIXELS: Final = (144 * 112 - 1024, 128 * 128)

SIZES: Final = (
    Size(label="Square", width=128, height=128),
    Size(label="Wide", width=160, height=96),
    Size(label="Tall", width=96, height=160),
    Size(label="Landscape", width=144, height=112),
    Size(label="Portrait", width=112, height=144),
)

EXAMPLES: Final = (
    "a large red heart on a white background",
    "a small yellow star above a purple diamond on a black background",
    "a green ring on a blue and white striped background",
    "a house with a red roof on green hills under clouds",
    "pixel art of a sailboat with white sails on the sea at sunset",
    "a watercolor painting of pine trees by the water, snowy mountains behind",
)
