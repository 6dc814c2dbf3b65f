"""The engine as the page and the commands see it: orders in, events out; no torch in here."""

from __future__ import annotations

from engine.service.engine import Engine
from engine.service.status import Status

__all__ = ["Engine", "Status"]
