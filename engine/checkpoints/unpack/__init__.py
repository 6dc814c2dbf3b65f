"""The arithmetic of checkpoint formats: tensors as they lie in a file, to weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from engine.checkpoints.formats.door import PLAIN
from engine.checkpoints.unpack import rows
from engine.checkpoints.unpack.door import Packing, plain

PACKINGS: Final[Mapping[str, Packing]] = MappingProxyType({PLAIN: plain, "rows": rows.unpack})
"""Every packing, by the name that `Stored.packing` gives it."""
