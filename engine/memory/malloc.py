"""How the C library of Linux hands memory out: a setting that halves the time of CPU tensors."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import MutableMapping
from typing import Final

_NEVER: Final = 8 << 30
_TUNABLES: Final = "GLIBC_TUNABLES"


def keep_freed_memory(environment: MutableMapping[str, str]) -> None:
    """Ask glibc, in the environment of a process to be started, to keep freed memory for reuse.

    By default every large tensor is mapped anew and given back at once; on the CPU the page faults
    of that cost as much time as the arithmetic. A user's own tunables are left alone; other systems
    ignore the variable.
    """
    settings = ("mmap_threshold", "trim_threshold")
    wanted = [f"glibc.malloc.{name}={_NEVER}" for name in settings]
    environment.setdefault(_TUNABLES, ":".join([*wanted, "glibc.malloc.arena_max=1"]))


def give_back() -> None:
    """Give what is free in this process back to the system, where glibc hands memory out.

    Kept memory is reused, but holes between what stays add up while much is loaded.
    """
    if sys.platform == "linux":
        # Other C libraries of Linux lack it.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
