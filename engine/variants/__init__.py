"""Model variants as data: adding one is a file here and a name in `VARIANTS`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from engine.errors import NotFound
from engine.variants.base import BASE
from engine.variants.de_turbo import DE_TURBO
from engine.variants.demo_base import DEMO_BASE
from engine.variants.demo_omni import DEMO_OMNI
from engine.variants.demo_turbo import DEMO_TURBO
from engine.variants.edit import EDIT
from engine.variants.omni_base import OMNI_BASE
from engine.variants.spec import (
    GUIDANCE_RANGE,
    SHIFT_RANGE,
    Defaults,
    Download,
    Ignored,
    Limits,
    Size,
    Solver,
    SourceFile,
    Variant,
)
from engine.variants.turbo import TURBO
from engine.variants.twinflow_turbo import TWINFLOW_TURBO

__all__ = [
    "GUIDANCE_RANGE",
    "SHIFT_RANGE",
    "VARIANTS",
    "Defaults",
    "Download",
    "Ignored",
    "Limits",
    "Size",
    "Solver",
    "SourceFile",
    "Variant",
    "by_name",
]

VARIANTS: Final = (
    DEMO_TURBO,
    DEMO_BASE,
    DEMO_OMNI,
    TURBO,
    BASE,
    TWINFLOW_TURBO,
    DE_TURBO,
    OMNI_BASE,
    EDIT,
)
"""Every variant, in the order in which they are offered."""


SHORT_NAMES: Final = MappingProxyType({"demo": DEMO_TURBO.name})
"""Other names that are understood."""


def by_name(name: str) -> Variant:
    """Return the variant of this name; raise `NotFound` listing the names there are."""
    full_name = SHORT_NAMES.get(name, name)
    for variant in VARIANTS:
        if variant.name == full_name:
            return variant
    raise NotFound(
        f"There is no model {name!r:.80}.",
        f"Choose one of {', '.join(v.name for v in VARIANTS)}, or give the path of a model folder.",
    )
