"""Tells a shortage of memory, or a lost device, from every other failure."""

from __future__ import annotations

import re

import torch

_SHORTAGE = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory"
    r"|failed to allocate|alloc_failed|insufficient memory|bad_alloc",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that device or host memory did not suffice.

    Only torch's own type is sure; drivers and libraries say it in words of their own.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _SHORTAGE.search(str(error)) is not None


def is_device_lost(error: BaseException) -> bool:
    """Say whether the graphics card failed in a way that only a new process can get over."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)
