"""Keeps what stays for the life of the process out of garbage collections."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Import or build in this block what is never let go of again.

    Libraries are half a million objects. Python goes through all of them again and again while they
    come, and at every later full collection, such as one for each change of model.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # What is garbage by now stays too: a few megabytes, for a third of a second.
        gc.freeze()
        if enabled:
            gc.enable()
