"""Presets that users pick, and may add to: small files, each checked before it is shown."""

from __future__ import annotations

from engine.presets.full import Preset
from engine.presets.hardware import HardwarePreset, hardware_presets
from engine.presets.shelf import Presets
from engine.presets.sizes import Shape
from engine.presets.styles import Style

__all__ = ["HardwarePreset", "Preset", "Presets", "Shape", "Style", "hardware_presets"]
