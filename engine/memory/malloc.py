"""How the C library of Linux hands memory out: a setting that halves the time of CPU tensors."""

from __future__ import annotations

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
