"""Where a model computes, and in which number type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from engine.hardware import MIN_BF16_CAPABILITY
from engine.quant.recipe import Form
from engine.request import Precision
from engine.settings import Attention

DTYPES: Mapping[Precision, torch.dtype] = MappingProxyType(
    {
        Precision.FP32: torch.float32,
        Precision.BF16: torch.bfloat16,
        Precision.FP16: torch.float16,
    }
)

_FORMS: Mapping[Precision, Form] = MappingProxyType(
    {Precision.INT8: Form.INT8, Precision.FP16: Form.HALF}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model computes and in which number type; attention: by the user's kernel there."""

    device: str
    precision: Precision
    attention: Attention = Attention.AUTO

    @property
    def form(self) -> Form:
        """How the large products of transformer and text encoder compute."""
        return _FORMS.get(self.precision, Form.PLAIN)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of everything else; float16 alone would overflow."""
        if self.precision is Precision.INT8:
            return torch.bfloat16 if computes_in_bf16(self.device) else torch.float32
        return torch.float32 if self.precision is Precision.FP16 else DTYPES[self.precision]


def computes_in_bf16(device: str) -> bool:
    """Say whether bfloat16 is the device's own; processors and cards of old only imitate it."""
    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    if not device.startswith("cuda"):
        return True
    return torch.cuda.get_device_capability(torch.device(device))[0] >= MIN_BF16_CAPABILITY
